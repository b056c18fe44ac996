package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/client"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
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
	tls        client.TLSFlags

	fleet fleetFlags
}

// fleetFlags are the flags of single simulations; each registers some of them.
type fleetFlags struct {
	count int
	rate  float64
	rooms []string
	host  string
	every time.Duration
	seed  uint64
}

const simulateLong = `Run simulated devices against a broker, as MQTT 5 clients over real connections, until Ctrl-C.

The clients reconnect by themselves. Their password comes from --token, --token-file (read again for each connection) or
$OUTCRY_TOKEN; with --secret-file each client gets tokens of its own, signed with the broker's secret. Without these
they are anonymous.

Exit status: 0 stopped, 1 an error, or the broker refused the clients.`

// NewSimulateCommand returns the command outcry simulate.
func NewSimulateCommand() *cobra.Command {
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
		f.fleet.registerSize(fs, 500, "symbols", 1000, "updates a second of all symbols together")
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
		f.fleet.registerSize(fs, 10, "sensors", 0, "readings a second, of all sensors together (default: a fifth of --count)")
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
		f.fleet.registerSize(fs, 5, "people", 0, "sentences a second, of all people together (default: a tenth of --count)")
		fs.StringSliceVar(&f.fleet.rooms, "rooms", []string{"lobby"}, "rooms of the people, in turn")
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
		fs.StringVar(&f.fleet.host, "host", "", "host in the topics (default: this host's name)")
		fs.DurationVar(&f.fleet.every, "every", time.Second, "time between reports")
	}, func(o devices.Options) (devices.Fleet, error) {
		return devices.NewMachine(devices.MachineOptions{Options: o, Host: f.fleet.host, Every: f.fleet.every})
	})
}

// registerSize registers the flags for the number of simulated things and for the rate of events.
func (f *fleetFlags) registerSize(fs *pflag.FlagSet, count int, things string, rate float64, events string) {
	fs.IntVar(&f.count, "count", count, things)
	fs.Float64Var(&f.rate, "rate", rate, events)
}

// command completes the command of a fleet: it has its own flags before those of all simulations.
func (f *simulateFlags) command(cmd *cobra.Command, own func(*pflag.FlagSet), make func(devices.Options) (devices.Fleet, error)) *cobra.Command {
	cmd.Args, cmd.SilenceUsage = cobra.NoArgs, true
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd, make) }
	fs := cmd.Flags()
	fs.SortFlags = false
	own(fs)
	fs.Uint64Var(&f.fleet.seed, "seed", 1, "seed of the random numbers")
	fs.StringVar(&f.url, "url", "mqtt://127.0.0.1:1883", "URL of the broker: mqtt://, mqtts://, ws://, wss:// or unix:///path")
	fs.StringVar(&f.token, "token", "", "token of all clients (better: --token-file or $"+client.TokenEnv+")")
	fs.StringVar(&f.tokenFile, "token-file", "", "file with the token of all clients")
	fs.StringVar(&f.secretFile, "secret-file", "", "file with the broker's signing secret: each client gets tokens of its own")
	fs.DurationVar(&f.duration, "duration", 0, "time after which it stops (default: never)")
	fs.BoolVar(&f.verbose, "verbose", false, "print when clients connect and disconnect")
	f.tls.Register(fs)
	return cmd
}

func (f *simulateFlags) run(cmd *cobra.Command, make func(devices.Options) (devices.Fleet, error)) error {
	o, err := f.options(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	ctx, stop := command.Context(cmd)
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
	if o.TLS, err = f.tls.Config(); err != nil {
		return o, err
	}
	if f.verbose {
		o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return o, f.credentials(&o)
}

// credentials sets the source of the clients' tokens.
func (f *simulateFlags) credentials(o *devices.Options) error {
	if f.secretFile != "" {
		if f.token != "" || f.tokenFile != "" {
			return errors.New("--secret-file makes tokens; omit --token and --token-file")
		}
		key, err := jwt.ReadSigningKey(f.secretFile, "", "")
		if err != nil {
			return err
		}
		o.Token = minter(key, f.fleet.rooms)
		return nil
	}
	token, err := client.ReadToken(f.token, f.tokenFile)
	if err != nil || token == "" {
		return err
	}
	o.User = cmp.Or(client.TokenClaims(token).Subject, "token")
	o.Token = func(string) string {
		if fresh, err := client.ReadToken(f.token, f.tokenFile); err == nil {
			return fresh
		}
		return token // the file cannot be read just now
	}
	return nil
}

// simulatedTTL is the lifetime of a minted token; each connection gets a fresh one.
const simulatedTTL = 24 * time.Hour

// minter returns a function that mints tokens for simulated users.
func minter(key jwt.SigningKey, rooms []string) func(user string) string {
	return func(user string) string {
		token, err := jwt.Mint(jwt.MintOptions{Key: key, User: user, Rooms: rooms, TTL: simulatedTTL})
		if err != nil {
			return "" // the broker refuses it; the key was checked when it was read
		}
		return token
	}
}
