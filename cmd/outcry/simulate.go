package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/outcry-mqtt/outcry/devices"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// simulateFlags are the flags that all simulations share.
type simulateFlags struct {
	url        string
	token      string
	tokenFile  string
	secretFile string
	duration   time.Duration
	verbose    bool
	tls        tlsFlags

	fleet fleetFlags
}

// fleetFlags are those of which each simulation has some.
type fleetFlags struct {
	count int
	rate  float64
	rooms []string
	host  string
	every time.Duration
	seed  uint64
}

const simulateLong = `Run simulated devices against a broker, as real MQTT 5 clients over real connections, until Ctrl-C.

The clients come back by themselves when the broker was away. They take their password from --token, --token-file (read
again for each connection) or $OUTCRY_TOKEN; with --secret-file each client gets tokens of its own, signed with the
broker's secret. Without any of them they are anonymous.

Exit status: 0 when stopped, 1 an error, or the broker refused the clients.`

func newSimulateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run simulated devices",
		Long:  simulateLong,
		Example: `  outcry simulate ticker --secret-file data/secret
  outcry simulate sensors --count 1000 --rate 500 --url mqtts://broker.example
  outcry simulate chatters --rooms lobby,traders --token-file data/guest.jwt`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(newTickerCommand(), newSensorsCommand(), newChattersCommand(), newMachineCommand())
	return cmd
}

func newTickerCommand() *cobra.Command {
	f := &simulateFlags{}
	return f.command(&cobra.Command{
		Use:     "ticker",
		Short:   "Prices of stocks, retained, as ticker/{symbol}",
		Example: "  outcry simulate ticker --count 500 --rate 1000 --secret-file data/secret",
	}, func(fs *pflag.FlagSet) {
		fs.IntVar(&f.fleet.count, "count", 500, "symbols")
		fs.Float64Var(&f.fleet.rate, "rate", 1000, "updates a second, of all symbols together")
	}, func(o devices.Options) (devices.Fleet, error) {
		return devices.NewTicker(devices.TickerOptions{Options: o, Symbols: f.fleet.count, Rate: f.fleet.rate, Seed: f.fleet.seed})
	})
}

func newSensorsCommand() *cobra.Command {
	f := &simulateFlags{}
	return f.command(&cobra.Command{
		Use:     "sensors",
		Short:   "Thermometers, each a client with a will, as sensors/{id}/{metric} with QoS 1",
		Example: "  outcry simulate sensors --count 100 --rate 20",
	}, func(fs *pflag.FlagSet) {
		fs.IntVar(&f.fleet.count, "count", 10, "sensors")
		fs.Float64Var(&f.fleet.rate, "rate", 0, "readings a second, of all sensors together (default: a fifth of --count)")
	}, func(o devices.Options) (devices.Fleet, error) {
		return devices.NewSensors(devices.SensorsOptions{Options: o, Count: f.fleet.count, Rate: f.fleet.rate, Seed: f.fleet.seed})
	})
}

func newChattersCommand() *cobra.Command {
	f := &simulateFlags{}
	return f.command(&cobra.Command{
		Use:     "chatters",
		Short:   "People who chat in rooms, as chat/{room}/say",
		Example: "  outcry simulate chatters --count 8 --rooms lobby,traders --rate 2 --secret-file data/secret",
	}, func(fs *pflag.FlagSet) {
		fs.IntVar(&f.fleet.count, "count", 5, "people")
		fs.Float64Var(&f.fleet.rate, "rate", 0, "sentences a second, of all people together (default: a tenth of --count)")
		fs.StringSliceVar(&f.fleet.rooms, "rooms", []string{"lobby"}, "rooms they are dealt out to")
	}, func(o devices.Options) (devices.Fleet, error) {
		return devices.NewChatters(devices.ChattersOptions{
			Options: o, Count: f.fleet.count, Rate: f.fleet.rate, Rooms: f.fleet.rooms, Seed: f.fleet.seed,
		})
	})
}

func newMachineCommand() *cobra.Command {
	f := &simulateFlags{}
	return f.command(&cobra.Command{
		Use:     "machine",
		Short:   "This machine's own figures, retained, as machine/{host}/cpu, memory, disk and network",
		Example: "  outcry simulate machine --every 5s --secret-file data/secret",
	}, func(fs *pflag.FlagSet) {
		fs.StringVar(&f.fleet.host, "host", "", "name in the topics (default: the host's name)")
		fs.DurationVar(&f.fleet.every, "every", time.Second, "time between reports")
	}, func(o devices.Options) (devices.Fleet, error) {
		return devices.NewMachine(devices.MachineOptions{Options: o, Host: f.fleet.host, Every: f.fleet.every})
	})
}

func (f *simulateFlags) command(cmd *cobra.Command, own func(*pflag.FlagSet), make func(devices.Options) (devices.Fleet, error)) *cobra.Command {
	cmd.Args, cmd.SilenceUsage = cobra.NoArgs, true
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd, make) }
	fs := cmd.Flags()
	fs.SortFlags = false
	own(fs)
	fs.Uint64Var(&f.fleet.seed, "seed", 1, "of what is random")
	fs.StringVar(&f.url, "url", "mqtt://127.0.0.1:1883", "the broker: mqtt://, mqtts://, ws://, wss:// or unix:///path")
	fs.StringVar(&f.token, "token", "", "token of all clients (better: --token-file or $"+tokenEnv+")")
	fs.StringVar(&f.tokenFile, "token-file", "", "file with the token of all clients")
	fs.StringVar(&f.secretFile, "secret-file", "", "the broker's signing secret: make each client its own tokens")
	fs.DurationVar(&f.duration, "duration", 0, "stop by itself after this time")
	fs.BoolVar(&f.verbose, "verbose", false, "tell of connections that come and go")
	f.tls.register(fs)
	return cmd
}

func (f *simulateFlags) run(cmd *cobra.Command, make func(devices.Options) (devices.Fleet, error)) error {
	o, err := f.options(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	ctx, stop := clientContext(cmd)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o.Refused = func(err error) { cancel(fmt.Errorf("%w (%s)", err, o.Broker)) }
	fleet, err := make(o)
	if err != nil {
		return err
	}
	if f.duration > 0 {
		time.AfterFunc(f.duration, func() { cancel(nil) })
	}
	return f.watch(ctx, fleet, cmd.ErrOrStderr())
}

func (f *simulateFlags) options(log io.Writer) (devices.Options, error) {
	o := devices.Options{Broker: f.url}
	var err error
	if o.TLS, err = f.tls.config(); err != nil {
		return o, err
	}
	if f.verbose {
		o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return o, f.credentials(&o)
}

// credentials sets where the clients' tokens come from.
func (f *simulateFlags) credentials(o *devices.Options) error {
	if f.secretFile != "" {
		if f.token != "" || f.tokenFile != "" {
			return errors.New("--secret-file makes tokens; leave out --token and --token-file")
		}
		key, err := jwt.ReadSigningKey(f.secretFile, "", "")
		if err != nil {
			return err
		}
		o.Token = minter(key, f.fleet.rooms)
		return nil
	}
	token, err := readToken(f.token, f.tokenFile)
	if err != nil || token == "" {
		return err
	}
	o.User = cmp.Or(tokenClaims(token).Subject, "token")
	o.Token = func(string) string {
		if fresh, err := readToken(f.token, f.tokenFile); err == nil {
			return fresh
		}
		return token // the file cannot be read just now
	}
	return nil
}

// simulatedTTL is how long a minted token is valid; each connection gets a fresh one.
const simulatedTTL = 24 * time.Hour

// minter makes tokens for simulated users.
func minter(key jwt.SigningKey, rooms []string) func(user string) string {
	return func(user string) string {
		token, err := jwt.Mint(jwt.MintOptions{Key: key, User: user, Rooms: rooms, TTL: simulatedTTL})
		if err != nil {
			return "" // which the broker refuses; the key was checked when it was read
		}
		return token
	}
}
