package main

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/listeners"
	"github.com/spf13/cobra"
)

// serveFlags are the flags of outcry serve.
type serveFlags struct {
	configFlags
	tcp, ws, http, data string
	open                int
	demo                bool
	addrFile            string
	shards              int
}

// spareProcessors are those beyond one for each shard, so that shards can wait on theirs while the rest of the program
// goes on: docs/decisions/0002-how-a-shard-waits.md.
const spareProcessors = 2

const serveLong = `Start the broker: MQTT on 127.0.0.1:1883, MQTT over WebSocket and the pages on
127.0.0.1:8083, the operator's pages on 127.0.0.1:9090. Everything else is said in
config.yaml, which is read if it is in the working directory.

SIGTERM or Ctrl-C stops it in good order, within ten seconds; a second one at once.
SIGHUP re-reads rules, rooms, keys, most limits, the password and deny files and certificates;
what is broken is refused, and the old stays.`

const serveExample = `  outcry serve --demo
  outcry serve --config /etc/outcry/config.yaml
  outcry serve --tcp :1883 --set auth.password_file=/etc/outcry/passwd
  outcry serve --open --tcp 127.0.0.1:0 --addr-file addresses.json
  OUTCRY_LOG_LEVEL=debug outcry serve`

func newServeCommand() *cobra.Command {
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
	f.configFlags.register(cmd)
	fs.StringVar(&f.tcp, "tcp", "", "address for MQTT over TCP: listeners.tcp.address")
	fs.StringVar(&f.ws, "ws", "", "address for MQTT over WebSocket, and the pages: listeners.ws.address")
	fs.StringVar(&f.http, "http", "", "address for metrics and health: http.address")
	fs.StringVar(&f.data, "data", "", "folder for what must outlive the process: data")
	fs.CountVar(&f.open, "open", "let anybody do everything, without limits of queues; twice: also from other machines")
	fs.BoolVar(&f.demo, "demo", false, "run devices that have something to say: a stock ticker and this machine")
	fs.StringVar(&f.addrFile, "addr-file", "", "write the addresses that were bound to this file, as JSON, when ready")
	return cmd
}

func (f *serveFlags) run(cmd *cobra.Command) error {
	options, err := f.options(cmd)
	if err != nil {
		return err
	}
	loaded, err := config.Load(options)
	if err != nil {
		return err
	}
	if err := f.checkOpen(loaded); err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	f.shards = runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(f.shards + spareProcessors)
	s, err := open(f, options, loaded, cmd.OutOrStdout(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	// Until here a signal ends the process at once, which loses nothing.
	stops := make(chan os.Signal, 2)
	signal.Notify(stops, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(stops)
	return s.run(cmd.Context(), stops, hangups)
}

// options are those of the file and the environment with the flags on top of them.
func (f *serveFlags) options(cmd *cobra.Command) (config.Options, error) {
	o, err := f.configFlags.options()
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

// checkOpen refuses to let the whole network do everything, unless told twice.
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
			refused = append(refused, c.Problem(path, "--open would let anybody who reaches "+address+" do everything",
				"use 127.0.0.1, or give --open twice if that is meant"))
		}
	}
	return errors.Join(refused...)
}
