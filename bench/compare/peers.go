package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
)

// peer is a server that can be compared.
type peer struct {
	name  string
	title string // with the version once it is prepared
	// dialect is what it speaks if not MQTT; then it has WebSockets only, at path.
	dialect bench.Dialect
	path    string
	// prepare builds the peer or looks for it, and tells its version. Its error says how to install what is missing.
	prepare func(ctx context.Context, folder string) (version string, err error)
	// command is how it is started, in an empty folder.
	command func(folder string, at ports) (*exec.Cmd, error)
}

// ports are where a peer is to listen, on 127.0.0.1.
type ports struct{ tcp, ws, other int }

func peerNames() (names []string) {
	for _, p := range allPeers() {
		names = append(names, p.name)
	}
	return names
}

func allPeers() []*peer {
	return []*peer{outcry(), mosquitto(), nats(), mochi(), aedes(), socketIO(), ws()}
}

func outcry() *peer {
	program := ""
	return &peer{
		name: "outcry", title: "Outcry",
		prepare: func(ctx context.Context, folder string) (string, error) {
			program = filepath.Join(folder, "outcry")
			return "", build(ctx, ".", program, "./cmd/outcry")
		},
		command: func(folder string, at ports) (*exec.Cmd, error) {
			return exec.Command(program, "serve", "--open", "--data", filepath.Join(folder, "data"),
				"--tcp", at.address(at.tcp), "--ws", at.address(at.ws), "--http", at.address(at.other)), nil
		},
	}
}

func (ports) address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

const mosquittoConfig = `listener %d 127.0.0.1
listener %d 127.0.0.1
protocol websockets
allow_anonymous true
persistence false
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 0
memory_limit 0
log_type error
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
		command: func(folder string, at ports) (*exec.Cmd, error) {
			file := filepath.Join(folder, "mosquitto.conf")
			return exec.Command(program, "-c", file), os.WriteFile(file, fmt.Appendf(nil, mosquittoConfig, at.tcp, at.ws), 0o600)
		},
	}
}

const natsConfig = `server_name: compare
listen: 127.0.0.1:%d
jetstream { store_dir: "." }
max_pending: 1GB
write_deadline: "60s"
max_connections: 1000000
mqtt { listen: 127.0.0.1:%d, max_ack_pending: 1000 }
websocket { listen: 127.0.0.1:%d, no_tls: true }
`

func nats() *peer {
	program := ""
	return &peer{
		name: "nats", title: "NATS",
		prepare: func(ctx context.Context, folder string) (string, error) {
			program = filepath.Join(folder, "nats-server")
			if err := build(ctx, "bench/peers", program, "github.com/nats-io/nats-server/v2"); err != nil {
				return "", err
			}
			text, err := exec.CommandContext(ctx, program, "--version").Output()
			return firstVersion(text), err
		},
		command: func(folder string, at ports) (*exec.Cmd, error) {
			file := filepath.Join(folder, "nats.conf")
			return exec.Command(program, "-c", file), os.WriteFile(file, fmt.Appendf(nil, natsConfig, at.other, at.tcp, at.ws), 0o600)
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
		command: func(_ string, at ports) (*exec.Cmd, error) {
			return exec.Command(program, "--tcp", at.address(at.tcp), "--ws", at.address(at.ws)), nil
		},
	}
}

func aedes() *peer {
	return &peer{
		name: "aedes", title: "aedes",
		prepare: func(ctx context.Context, _ string) (string, error) { return nodePackage(ctx, "aedes") },
		command: func(_ string, at ports) (*exec.Cmd, error) {
			script, err := filepath.Abs("bench/peers/node/aedes.mjs")
			return exec.Command("node", script, fmt.Sprint(at.tcp), fmt.Sprint(at.ws)), err
		},
	}
}

// roomsPeer is one that speaks no MQTT, behind an adapter of rooms and broadcasts.
func roomsPeer(name, title, pkg, script string, dialect bench.Dialect, path string) *peer {
	return &peer{
		name: name, title: title, dialect: dialect, path: path,
		prepare: func(ctx context.Context, _ string) (string, error) { return nodePackage(ctx, pkg) },
		command: func(_ string, at ports) (*exec.Cmd, error) {
			file, err := filepath.Abs("bench/peers/node/" + script)
			return exec.Command("node", file, fmt.Sprint(at.ws)), err
		},
	}
}

func socketIO() *peer {
	return roomsPeer("socket.io", "Socket.IO", "socket.io", "socketio.mjs", bench.SocketIO, "/socket.io/?EIO=4&transport=websocket")
}

func ws() *peer { return roomsPeer("ws", "ws", "ws", "ws.mjs", bench.Rooms, "/") }

// does tells whether a peer can do a work at all.
func (p *peer) does(w work) bool {
	return p.dialect == bench.MQTT || w.scheme == "ws" && w.run.QoS == 0
}

// find finds a program, also where programs for administrators are.
func find(program, install string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	if path, err := exec.LookPath("/usr/sbin/" + program); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("there is no program %s; install it (on Debian: %s)", program, install)
}

// build builds a Go program in a module's folder.
func build(ctx context.Context, module, program, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, pkg)
	cmd.Dir = module
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s in %s; is the module proxy reachable? %w: %s", pkg, module, err, lastLine(text))
	}
	return nil
}

// nodePackage installs the packages of the peers that run on Node.js, and tells the version of one.
func nodePackage(ctx context.Context, name string) (string, error) {
	const folder = "bench/peers/node"
	if _, err := find("node", "apt-get install nodejs npm"); err != nil {
		return "", err
	}
	if _, err := find("npm", "apt-get install nodejs npm"); err != nil {
		return "", err
	}
	file := filepath.Join(folder, "node_modules", name, "package.json")
	if _, err := os.Stat(file); err != nil {
		cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
		cmd.Dir = folder
		if text, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("npm ci in %s: %w: %s", folder, err, lastLine(text))
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	_, after, _ := bytes.Cut(text, []byte(`"version"`))
	return firstVersion(after), nil
}

var versionPattern = regexp.MustCompile(`\d+\.\d+\.\d+`)

func firstVersion(text []byte) string { return string(versionPattern.Find(text)) }

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// running is a peer's process.
type running struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	ended  chan struct{}
}

// start starts a peer and waits until it listens.
func (p *peer) start(ctx context.Context, folder string, at ports) (*running, error) {
	cmd, err := p.command(folder, at)
	if err != nil {
		return nil, err
	}
	r := &running{cmd: cmd, ended: make(chan struct{})}
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, &r.output, &r.output
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = cmd.Wait(); close(r.ended) }()
	listening := []int{at.tcp, at.ws}
	if p.dialect != bench.MQTT {
		listening = listening[1:]
	}
	if err := r.listens(ctx, listening); err != nil {
		r.stop()
		return nil, fmt.Errorf("%w: %s", err, lastLine(r.output.Bytes()))
	}
	return r, nil
}

// listens waits until all ports answer.
func (r *running) listens(ctx context.Context, ports []int) error {
	deadline := time.After(time.Minute)
	for _, port := range ports {
		for !answers(port) {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-r.ended:
				return errors.New("it ended at once")
			case <-deadline:
				return fmt.Errorf("it does not listen on port %d", port)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

func answers(port int) bool {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// stop asks the process to end, and ends it if it does not.
func (r *running) stop() {
	_ = r.cmd.Process.Signal(os.Interrupt)
	select {
	case <-r.ended:
	case <-time.After(10 * time.Second):
		_ = r.cmd.Process.Kill()
		<-r.ended
	}
}

// freePorts are ports that nobody listens on now.
func freePorts() (at ports, err error) {
	for _, port := range []*int{&at.tcp, &at.ws, &at.other} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return at, err
		}
		defer l.Close() // after all three, so that they differ
		*port = l.Addr().(*net.TCPAddr).Port
	}
	return at, nil
}
