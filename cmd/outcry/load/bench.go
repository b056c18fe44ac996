// Package load holds the commands that put load on a broker: bench and simulate. Package bench does the measurements,
// package devices simulates the devices.
package load

import (
	"errors"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
	"github.com/outcry-mqtt/outcry/cmd/outcry/client"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// benchFlags are the flags of all scenarios of outcry bench; each registers some of them.
type benchFlags struct {
	client.Flags
	run     bench.Options
	qos     int
	subQoS  int
	json    bool
	strict  bool
	quiet   bool
	runtime command.Seconds
	warmup  command.Seconds
	drain   command.Seconds
	hold    command.Seconds
	retry   command.Seconds
}

const benchLong = `Load any MQTT broker, check what it delivers, and measure it.

Messages are numbered. The bench counts lost, duplicate, reordered, changed and misrouted messages. With --rate, messages
are due at fixed times and latency counts from the due time, so a broker cannot hide a stall (open loop). Without it, a
delivered message makes room for the next one, with a window of messages in flight (closed loop). --pid also measures
processor time and memory of the broker's process, from /proc on Linux.

The generator uses one thread, more with --threads; the line "generator" shows its load. Near 1 per thread in an open
loop, its own delays are part of the latencies: "sent late" shows them.

Exit status: 0 no fault; 1 the run did not finish, or messages were lost (QoS 1 and 2, retained; with --strict also QoS 0),
duplicate (QoS 0 and 2), reordered, changed or misrouted, or connections were lost; 130 interrupted by Ctrl-C, after
printing the results so far. A second Ctrl-C ends it at once.`

const benchExample = `  outcry bench fanout --subscribers 1000 --pid $(pgrep -x outcry)
  outcry bench fanout --subscribers 1000 --rate 500 --url ws://127.0.0.1:8083/mqtt
  outcry bench pairs --clients 50 --qos 1 -V 4
  outcry bench conns --clients 10000 --hold 10s --pid $(pgrep -x mosquitto)
  outcry bench storm --clients 5000 --json`

// NewBenchCommand returns the command outcry bench.
func NewBenchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Load any broker, check its deliveries and measure it",
		Long:    benchLong,
		Example: benchExample,
		Args:    command.NoSuch,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, s := range benchScenarios {
		cmd.AddCommand(s.command())
	}
	return cmd
}

// benchScenario is a subcommand of outcry bench.
type benchScenario struct {
	name    bench.Scenario
	short   string
	example string
	own     func(*benchFlags, *pflag.FlagSet)
}

var benchScenarios = []benchScenario{
	{bench.Conns, "Hold many idle connections", `  outcry bench conns --clients 10000 --pid $(pgrep -x outcry)
  outcry bench conns --clients 10000 --subscribe --hold 30s --url wss://broker.example/mqtt`, (*benchFlags).registerConns},
	{bench.Fanout, "Few publishers, many subscribers", `  outcry bench fanout --subscribers 1000
  outcry bench fanout --subscribers 1000 --topics 500 --wildcard --rate 1000
  outcry bench fanout --subscribers 10000 --rate 10 --duration 30s --json`, (*benchFlags).registerFanout},
	{bench.Fanin, "Many publishers, few subscribers of all topics", `  outcry bench fanin --publishers 1000 --rate 50000 --qos 1
  outcry bench fanin --publishers 200 --subscribers 4 --shared`, (*benchFlags).registerFanin},
	{bench.Pairs, "Publishers with one subscriber each", `  outcry bench pairs --clients 50 --qos 2
  outcry bench pairs --clients 100 --rate 2000 --pid $(pgrep -x mosquitto)`, (*benchFlags).registerPairs},
	{bench.Slow, "Many subscribers of tickers, some of them slow consumers", `  outcry bench slow --token-file ticker.token --pid $(pgrep -x outcry)
  outcry bench slow --subscribers 200 --slow 20 --slow-rate 1000 --url ws://127.0.0.1:8083/mqtt --token-file ticker.token`, (*benchFlags).registerSlow},
	{bench.Retained, "Store many retained messages, then subscribe to all of them", `  outcry bench retained --topics 100000 --subscribers 5
  outcry bench retained --topics 1000000 --keep --pid $(pgrep -x outcry)`, (*benchFlags).registerRetained},
	{bench.Storm, "All clients connect and subscribe at once", `  outcry bench storm --clients 10000
  outcry bench storm --clients 2000 --rounds 5 --url mqtts://127.0.0.1:8883 --insecure
  outcry bench storm --clients 10000 --reconnect --rounds 3 --hold 2s
  outcry bench storm --clients 5000 --dropped --retry 1s  # and restart the broker`, (*benchFlags).registerStorm},
	{bench.Churn, "Connect, subscribe and disconnect, over and over", `  outcry bench churn --clients 100 --duration 10s
  outcry bench churn --clients 100 -V 4 --json`, (*benchFlags).registerChurn},
}

func (s *benchScenario) command() *cobra.Command {
	f := &benchFlags{}
	f.run.Scenario = s.name
	cmd := &cobra.Command{
		Use:     string(s.name),
		Short:   s.short,
		Long:    s.short + ".\n\n" + benchLong,
		Example: s.example,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.bench(cmd) },

		SilenceUsage: true,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	s.own(f, fs)
	fs.IntVar(&f.run.PID, "pid", 0, "process id of the broker: measure its processor time and memory")
	fs.IntVar(&f.run.Threads, "threads", 1, "threads of the generator")
	fs.BoolVar(&f.json, "json", false, "print one JSON object instead of tables")
	fs.BoolVar(&f.strict, "strict", false, "lost QoS 0 messages are an error too")
	fs.BoolVar(&f.quiet, "quiet", false, "print no progress")
	f.Register(fs)
	return cmd
}

func (f *benchFlags) registerConns(fs *pflag.FlagSet) {
	f.registerClients(fs, 1000, "connections")
	fs.BoolVar(&f.run.Subscribe, "subscribe", false, "each connection has a subscription of its own")
	fs.VarP(&f.hold, "hold", "", "time to hold the connections, and to measure the broker")
	f.registerConnecting(fs)
}

func (f *benchFlags) registerFanout(fs *pflag.FlagSet) {
	fs.IntVar(&f.run.Subscribers, "subscribers", 1000, "subscribers, distributed over the topics")
	fs.IntVar(&f.run.Publishers, "publishers", 1, "publishers, dealt out to the topics")
	fs.IntVar(&f.run.Topics, "topics", 1, "topics")
	fs.BoolVar(&f.run.Wildcard, "wildcard", false, "every subscriber subscribes to all topics")
	f.registerMessages(fs)
}

func (f *benchFlags) registerFanin(fs *pflag.FlagSet) {
	fs.IntVar(&f.run.Publishers, "publishers", 100, "publishers, each with a topic of its own")
	fs.IntVar(&f.run.Subscribers, "subscribers", 1, "subscribers of all topics")
	fs.BoolVar(&f.run.Shared, "shared", false, "one shared subscription for all subscribers")
	f.registerMessages(fs)
}

func (f *benchFlags) registerPairs(fs *pflag.FlagSet) {
	f.registerClients(fs, 50, "pairs")
	f.registerMessages(fs)
}

func (f *benchFlags) registerRetained(fs *pflag.FlagSet) {
	fs.IntVar(&f.run.Topics, "topics", 10_000, "retained messages, one per topic")
	fs.IntVar(&f.run.Subscribers, "subscribers", 1, "subscribers of all of them, at once")
	fs.IntVar(&f.run.Publishers, "publishers", 1, "publishers of them, with QoS 1")
	fs.IntVar(&f.run.InFlight, "in-flight", 1000, "unacknowledged messages of a publisher")
	fs.IntVar(&f.run.Payload, "payload", 64, "size of the payload in bytes, at least 16")
	fs.BoolVar(&f.run.Keep, "keep", false, "keep them on the broker (default: remove them at the end)")
	f.registerQoS(fs)
	f.registerDrain(fs)
}

func (f *benchFlags) registerSlow(fs *pflag.FlagSet) {
	fs.IntVar(&f.run.Subscribers, "subscribers", 1000, "subscribers of all topics, the slow ones included")
	fs.IntVar(&f.run.Slow, "slow", 50, "slow subscribers among them; they connect after a measurement without them")
	fs.IntVar(&f.run.SlowRate, "slow-rate", 7000, "bytes a second that a slow subscriber reads; a modem of 56 kbit/s has 7,000")
	fs.IntVar(&f.run.SlowBuffer, "slow-buffer", 4<<10, "receive buffer of a slow subscriber's socket in bytes")
	fs.IntVar(&f.run.Topics, "topics", 500, "topics in a room with queue: conflate, of which a slow subscriber gets the newest values")
	fs.IntVar(&f.run.Publishers, "publishers", 1, "publishers, dealt out to the topics")
	fs.Float64VarP(&f.run.Rate, "rate", "r", 1000, "messages a second, of all publishers together")
	fs.IntVar(&f.run.Payload, "payload", 64, "size of the payload in bytes, at least 16")
	f.registerDuration(fs)
	f.warmup = command.Seconds(time.Second)
	fs.Var(&f.warmup, "warmup", "time before it is measured")
	f.registerDrain(fs)
	f.registerConnecting(fs)
}

func (f *benchFlags) registerStorm(fs *pflag.FlagSet) {
	f.registerClients(fs, 1000, "clients")
	fs.IntVar(&f.run.Rounds, "rounds", 1, "number of storms; all connections close in between, but not with --reconnect and --dropped")
	fs.VarP(&f.hold, "hold", "", "time between storms")
	fs.BoolVar(&f.run.Reconnect, "reconnect", false, "all clients connect first, lose their connections at once without DISCONNECT, and reconnect")
	fs.BoolVar(&f.run.Dropped, "dropped", false, "the same, but the broker ends the connections: restart it when all are connected")
	f.retry = command.Seconds(100 * time.Millisecond)
	fs.VarP(&f.retry, "retry", "", "time after which a refused client tries again")
	f.registerConnecting(fs)
}

func (f *benchFlags) registerChurn(fs *pflag.FlagSet) {
	f.registerClients(fs, 100, "clients that come and go at a time")
	f.registerDuration(fs)
	f.registerConnecting(fs)
}

func (f *benchFlags) registerClients(fs *pflag.FlagSet, n int, what string) {
	fs.IntVarP(&f.run.Clients, "clients", "n", n, what)
}

// registerMessages registers the flags of scenarios with messages.
func (f *benchFlags) registerMessages(fs *pflag.FlagSet) {
	fs.Float64VarP(&f.run.Rate, "rate", "r", 0, "messages a second of all publishers together (default: as fast as they are delivered)")
	fs.IntVar(&f.run.Window, "window", 0, "undelivered messages of a publisher without --rate (default: up to 1,000)")
	fs.IntVar(&f.run.InFlight, "in-flight", 1000, "QoS 1 and 2: unacknowledged messages of a publisher")
	fs.IntVar(&f.run.Payload, "payload", 64, "size of the payload in bytes, at least 16")
	f.registerQoS(fs)
	f.registerDuration(fs)
	f.warmup = command.Seconds(time.Second)
	fs.Var(&f.warmup, "warmup", "time before it is measured")
	f.registerDrain(fs)
	fs.BoolVar(&f.run.Check, "check", false, "compare every topic and every byte of every payload")
	f.registerConnecting(fs)
}

func (f *benchFlags) registerQoS(fs *pflag.FlagSet) {
	fs.IntVarP(&f.qos, "qos", "q", 0, "quality of service of publishers and subscribers: 0, 1 or 2")
	fs.IntVar(&f.subQoS, "sub-qos", -1, "quality of service of the subscribers (default: --qos)")
}

func (f *benchFlags) registerDuration(fs *pflag.FlagSet) {
	f.runtime = command.Seconds(10 * time.Second)
	fs.VarP(&f.runtime, "duration", "d", "duration of the measurement")
}

func (f *benchFlags) registerDrain(fs *pflag.FlagSet) {
	f.drain = command.Seconds(5 * time.Second)
	fs.Var(&f.drain, "drain", "time without a message after which missing messages count as lost")
}

func (f *benchFlags) registerConnecting(fs *pflag.FlagSet) {
	fs.Float64Var(&f.run.ConnectRate, "connect-rate", 0, "connections a second (default: no limit)")
	fs.IntVar(&f.run.Pending, "pending", 64, "connections that are being made at once")
}

// options returns the bench's options from all flags.
func (f *benchFlags) options() (bench.Options, error) {
	o := f.run
	c, err := f.Flags.Options()
	if err != nil {
		return o, err
	}
	if err := errors.Join(client.CheckQoS("--qos", f.qos), client.CheckQoS("--sub-qos", max(f.subQoS, 0))); err != nil {
		return o, err
	}
	o.URL, o.TLS, o.Version, o.User, o.Password, o.KeepAlive = c.URL, c.TLS, c.Version, c.User, c.Password, c.KeepAlive
	o.Prefix, o.QoS, o.SubscribeQoS = f.ID, byte(f.qos), f.subQoS
	o.Warmup, o.Drain, o.Hold = time.Duration(f.warmup), time.Duration(f.drain), time.Duration(f.hold)
	o.Retry = time.Duration(f.retry)
	if o.Duration = time.Duration(f.runtime); o.Scenario == bench.Churn {
		o.Pending = max(o.Pending, o.Clients)
	}
	return o, nil
}
