package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/outcry-mqtt/outcry/bench"
)

// peer is a server to compare.
type peer struct {
	name  string
	title string // with the version, after prepare
	// dialect is its protocol if not MQTT; it then has WebSockets only, at path.
	dialect bench.Dialect
	path    string
	// unsupported are the works that it does not support; bare means that it can only forward bytes, and runs only if
	// named.
	unsupported []string
	bare        bool
	// prepare builds or finds the peer, and returns its version. The error tells how to install it.
	prepare func(ctx context.Context, folder string) (version string, err error)
	// command returns the command that starts it.
	command func(at site) (*exec.Cmd, error)
}

func peerNames() (names []string) {
	for _, p := range allPeers() {
		names = append(names, p.name)
	}
	return names
}

func allPeers() []*peer {
	return []*peer{outcry(), mosquitto(), nats(), mochi(), aedes(), socketIO(), ws(), limit("limit", 1), limit("limit-2", 2)}
}

// supports reports whether a peer supports a work.
func (p *peer) supports(w work) bool {
	switch {
	case slices.Contains(p.unsupported, w.name):
		return false
	case p.bare:
		return w.scheme == overTCP && w.run.QoS == 0 && !w.run.Wildcard && !w.run.Shared && w.run.Scenario != bench.Conns && w.run.Scenario != bench.Storm
	case p.dialect != bench.MQTT:
		return w.scheme == overWebSocket && w.run.QoS == 0
	}
	return len(w.peers) == 0 || slices.Contains(w.peers, p.name)
}

func outcry() *peer {
	program := ""
	return &peer{
		name: "outcry", title: "Outcry",
		prepare: func(ctx context.Context, folder string) (string, error) {
			program = filepath.Join(folder, "outcry")
			return "", build(ctx, ".", program, "./cmd/outcry")
		},
		command: func(at site) (*exec.Cmd, error) {
			return exec.Command(program, "serve", "--no-config", "--open", "--data", filepath.Join(at.folder, "data"),
				"--tcp", at.address(at.tcp), "--ws", at.address(at.ws), "--http", at.address(at.other),
				"--set", "listeners.tls.address="+at.address(at.tls),
				"--set", "listeners.tls.certificate.file="+at.certificate.file,
				"--set", "listeners.tls.certificate.key="+at.certificate.key), nil
		},
	}
}

// limit returns the bare loop of bench/limit, with that many threads.
func limit(name string, threads int) *peer {
	program := ""
	return &peer{
		name: name, title: fmt.Sprintf("bare loop, %d thread(s)", threads), bare: true,
		prepare: func(ctx context.Context, folder string) (string, error) {
			program = filepath.Join(folder, "limit")
			return "", build(ctx, ".", program, "./bench/limit")
		},
		command: func(at site) (*exec.Cmd, error) {
			return exec.Command(program, "--tcp", at.address(at.tcp), "--threads", strconv.Itoa(threads)), nil
		},
	}
}

const mosquittoConfig = `user root
allow_anonymous true
persistence false
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 0
memory_limit 0
log_type error
listener %d 127.0.0.1
listener %d 127.0.0.1
protocol websockets
listener %d 127.0.0.1
certfile %s
keyfile %s
`

func mosquitto() *peer {
	program := ""
	return &peer{
		name: "mosquitto", title: "Mosquitto",
		prepare: func(ctx context.Context, _ string) (version string, err error) {
			if program, err = find("mosquitto", "apt-get install mosquitto"); err != nil {
				return "", err
			}
			help, _ := exec.CommandContext(ctx, program, "-h").Output() // ends with 1
			return firstVersion(help), nil
		},
		command: func(at site) (*exec.Cmd, error) {
			text := fmt.Sprintf(mosquittoConfig, at.tcp, at.ws, at.tls, at.certificate.file, at.certificate.key)
			return configured(program, at, "mosquitto.conf", text)
		},
	}
}

// configured returns the command of a program, after writing its configuration file.
func configured(program string, at site, name, text string) (*exec.Cmd, error) {
	file := filepath.Join(at.folder, name)
	return exec.Command(program, "-c", file), os.WriteFile(file, []byte(text), 0o600)
}

// NATS has one port for MQTT, with or without TLS.
const natsConfig = `server_name: compare
listen: 127.0.0.1:%d
jetstream { store_dir: "." }
max_pending: 1GB
max_payload: 8MB
write_deadline: "60s"
max_connections: 1000000
mqtt { listen: 127.0.0.1:%d, max_ack_pending: 1000%s }
websocket { listen: 127.0.0.1:%d, no_tls: true }
`

func nats() *peer {
	program := ""
	return &peer{
		name: "nats", title: "NATS", unsupported: []string{"shared"},
		prepare: func(ctx context.Context, folder string) (string, error) {
			program = filepath.Join(folder, "nats-server")
			if err := build(ctx, "bench/peers", program, "github.com/nats-io/nats-server/v2"); err != nil {
				return "", err
			}
			text, err := exec.CommandContext(ctx, program, "--version").Output()
			return firstVersion(text), err
		},
		command: func(at site) (*exec.Cmd, error) {
			port, secure := at.tcp, ""
			if at.scheme == overTLS {
				port, secure = at.tls, fmt.Sprintf(", tls { cert_file: %q, key_file: %q }", at.certificate.file, at.certificate.key)
			}
			return configured(program, at, "nats.conf", fmt.Sprintf(natsConfig, at.other, port, secure, at.ws))
		},
	}
}

func mochi() *peer {
	program := ""
	return &peer{
		name: "mochi", title: "mochi",
		prepare: func(ctx context.Context, folder string) (string, error) {
			program = filepath.Join(folder, "mochi")
			if err := build(ctx, "bench/peers", program, "./mochi"); err != nil {
				return "", err
			}
			list := exec.CommandContext(ctx, "go", "list", "-m", "github.com/mochi-mqtt/server/v2")
			list.Dir = "bench/peers"
			text, err := list.Output()
			return firstVersion(bytes.TrimPrefix(text, []byte("github.com/mochi-mqtt/server/v2"))), err
		},
		command: func(at site) (*exec.Cmd, error) {
			return exec.Command(program, "--tcp", at.address(at.tcp), "--ws", at.address(at.ws), "--tls", at.address(at.tls),
				"--cert", at.certificate.file, "--key", at.certificate.key), nil
		},
	}
}

func aedes() *peer {
	return &peer{
		name: "aedes", title: "aedes", unsupported: []string{"shared"},
		prepare: func(ctx context.Context, _ string) (string, error) { return nodePackage(ctx, "aedes") },
		command: func(at site) (*exec.Cmd, error) {
			return script("aedes.mjs", strconv.Itoa(at.tcp), strconv.Itoa(at.ws), strconv.Itoa(at.tls), at.certificate.file, at.certificate.key)
		},
	}
}

// roomsPeer returns a peer without MQTT, behind an adapter with rooms and broadcasts.
func roomsPeer(name, title, pkg, file string, dialect bench.Dialect, path string) *peer {
	return &peer{
		name: name, title: title, dialect: dialect, path: path,
		prepare: func(ctx context.Context, _ string) (string, error) { return nodePackage(ctx, pkg) },
		command: func(at site) (*exec.Cmd, error) { return script(file, strconv.Itoa(at.ws)) },
	}
}

func socketIO() *peer {
	return roomsPeer("socket.io", "Socket.IO", "socket.io", "socketio.mjs", bench.SocketIO, "/socket.io/?EIO=4&transport=websocket")
}

func ws() *peer { return roomsPeer("ws", "ws", "ws", "ws.mjs", bench.Rooms, "/") }

// script returns the command of a peer on Node.js.
func script(name string, args ...string) (*exec.Cmd, error) {
	file, err := filepath.Abs("bench/peers/node/" + name)
	return exec.Command("node", append([]string{file}, args...)...), err
}
