package server

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/listeners"
	"github.com/spf13/cobra"
)

// serveFlags are the flags of outcry serve.
type serveFlags struct {
	command.ConfigFlags
	tcp, ws, http, data string
	open                int
	demo                bool
	addrFile            string
	shards              int
}

// spareProcessors is added to one for each shard, so that shards can wait on theirs while the rest of the program
// runs: docs/decisions/0002-how-a-shard-waits.md.
const spareProcessors = 2

const serveLong = `Start the broker: MQTT on 127.0.0.1:1883, MQTT over WebSocket and the pages on
127.0.0.1:8083, metrics and health on 127.0.0.1:9090. It reads config.yaml in the working
directory, if it exists.

SIGTERM or Ctrl-C stops the broker in order, within ten seconds; a second one stops it at once.
SIGHUP re-reads rules, rooms, keys, most limits, the password and deny files and certificates.
A configuration or file with an error is refused, and the old one stays.`

const serveExample = `  outcry serve --demo
  outcry serve --config /etc/outcry/config.yaml
  outcry serve --tcp :1883 --set auth.password_file=/etc/outcry/passwd
  outcry serve --open --tcp 127.0.0.1:0 --addr-file addresses.json
  OUTCRY_LOG_LEVEL=debug outcry serve`

// NewServeCommand returns the command outcry serve.
func NewServeCommand() *cobra.Command {
	f := &serveFlags{}
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Start the broker",
		Long:    serveLong,
		Example: serveExample,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	f.ConfigFlags.Register(cmd)
	fs.StringVar(&f.tcp, "tcp", "", "address for MQTT over TCP: listeners.tcp.address")
	fs.StringVar(&f.ws, "ws", "", "address for MQTT over WebSocket, and the pages: listeners.ws.address")
	fs.StringVar(&f.http, "http", "", "address for metrics and health: http.address")
	fs.StringVar(&f.data, "data", "", "data folder, for sessions and retained messages: data")
	fs.CountVar(&f.open, "open", "allow everything to every client, without queue limits; twice: also from other machines")
	fs.BoolVar(&f.demo, "demo", false, "run simulated devices: a stock ticker and the figures of this machine")
	fs.StringVar(&f.addrFile, "addr-file", "", "file for the bound addresses as JSON, written when ready")
	return cmd
}

func (f *serveFlags) run(cmd *cobra.Command) error {
	signal.Ignore(syscall.SIGPIPE) // a write to a closed pipe must not end the broker
	options, err := f.options(cmd)
	if err != nil {
		return err
	}
	loaded, err := config.Load(options)
	if err != nil {
		return err
	}
	if err := errors.Join(f.checkOpen(loaded), validate(loaded)); err != nil {
		return err
	}
	o := newOutputs(loaded, cmd.OutOrStdout(), cmd.ErrOrStderr())
	log.SetOutput(o.log) // messages of net/http and others
	return o.end(f.serve(cmd.Context(), options, loaded, o))
}

// serve runs the broker until it is stopped.
func (f *serveFlags) serve(ctx context.Context, options config.Options, loaded *config.Loaded, o *outputs) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	f.shards = runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(f.shards + spareProcessors)
	s, err := open(f, options, loaded, o)
	if err != nil {
		return err
	}
	// Until here a signal ends the process at once, which loses nothing.
	stops := make(chan os.Signal, 2)
	signal.Notify(stops, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(stops)
	return s.run(ctx, stops, hangups)
}

// options returns the sources of the configuration: file, environment and flags.
func (f *serveFlags) options(cmd *cobra.Command) (config.Options, error) {
	o, err := f.ConfigFlags.Options()
	for _, flag := range []struct{ name, path, value string }{
		{"tcp", "listeners.tcp.address", f.tcp},
		{"ws", "listeners.ws.address", f.ws},
		{"http", "http.address", f.http},
		{"data", "data", f.data},
	} {
		if cmd.Flags().Changed(flag.name) {
			o.Sets = append(o.Sets, config.Set{Source: "--" + flag.name, Path: flag.path, Value: flag.value})
		}
	}
	return o, err
}

// checkOpen refuses --open on a network address, unless confirmed.
func (f *serveFlags) checkOpen(c *config.Loaded) error {
	if f.open != 1 {
		return nil
	}
	var refused []error
	for path, address := range map[string]string{
		"listeners.tcp.address": c.Listeners.TCP.Address,
		"listeners.tls.address": c.Listeners.TLS.Address,
		"listeners.ws.address":  c.Listeners.WS.Address,
		"listeners.wss.address": c.Listeners.WSS.Address,
	} {
		if address != "" && !listeners.IsLoopback(address) {
			refused = append(refused, c.Problem(path, "--open would allow everything to every client that can reach "+address,
				"use 127.0.0.1, or give --open twice"))
		}
	}
	return errors.Join(refused...)
}
