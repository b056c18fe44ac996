package main

import (
	"errors"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// benchFlags are the flags of all scenarios of outcry bench; each has some of those in run.
type benchFlags struct {
	clientFlags
	run     bench.Options
	qos     int
	subQoS  int
	json    bool
	strict  bool
	quiet   bool
	runtime seconds
	warmup  seconds
	drain   seconds
	hold    seconds
	retry   seconds
}

const benchLong = `Load any MQTT broker, check what it delivers, and measure it.

Every message has a number: what is lost, comes twice, out of order or to the wrong subscriber is counted. With --rate,
messages are due at fixed times and latency counts from then, so a broker that stalls cannot hide it (open loop);
without it, messages are sent as fast as they are delivered, a window of them under way (closed loop). With --pid the
processor time and memory of the broker's process are measured too; its pages are counted as /proc tells, on Linux.

The generator uses one thread, more with --threads; the line "generator" tells how busy it was. Near 1 per thread in an
open loop, its own delays are part of the latencies: "sent late" tells how much.

Exit status: 0 the broker did well, 1 it could not be run to the end, or something was lost that must not be (QoS 1
and 2, retained messages; with --strict also QoS 0), came twice (QoS 0 and 2), out of order, changed or to the wrong
subscriber, or connections were lost; 130 it was interrupted (Ctrl-C): what was measured until then is printed. A second
interruption ends it at once.`

const benchExample = `  outcry bench fanout --subscribers 1000 --pid $(pgrep -x outcry)
  outcry bench fanout --subscribers 1000 --rate 500 --url ws://127.0.0.1:8083/mqtt
  outcry bench pairs --clients 50 --qos 1 -V 4
  outcry bench conns --clients 10000 --hold 10s --pid $(pgrep -x mosquitto)
  outcry bench storm --clients 5000 --json`

func newBenchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Load any broker, and check and measure what it does",
		Long:    benchLong,
		Example: benchExample,
		Args:    noSuchCommand,
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
	{bench.Conns, "Hold many connections that do nothing", `  outcry bench conns --clients 10000 --pid $(pgrep -x outcry)
  outcry bench conns --clients 10000 --subscribe --hold 30s --url wss://broker.example/mqtt`, (*benchFlags).registerConns},
	{bench.Fanout, "Few publishers, many subscribers", `  outcry bench fanout --subscribers 1000
  outcry bench fanout --subscribers 1000 --topics 500 --wildcard --rate 1000
  outcry bench fanout --subscribers 10000 --rate 10 --duration 30s --json`, (*benchFlags).registerFanout},
	{bench.Fanin, "Many publishers, few subscribers of everything", `  outcry bench fanin --publishers 1000 --rate 50000 --qos 1
  outcry bench fanin --publishers 200 --subscribers 4 --shared`, (*benchFlags).registerFanin},
	{bench.Pairs, "Publishers with one subscriber each", `  outcry bench pairs --clients 50 --qos 2
  outcry bench pairs --clients 100 --rate 2000 --pid $(pgrep -x mosquitto)`, (*benchFlags).registerPairs},
	{bench.Slow, "Many subscribers of tickers, some of whom read slowly", `  outcry bench slow --token-file ticker.token --pid $(pgrep -x outcry)
  outcry bench slow --subscribers 200 --slow 20 --slow-rate 1000 --url ws://127.0.0.1:8083/mqtt --token-file ticker.token`, (*benchFlags).registerSlow},
	{bench.Retained, "Store many retained messages, then subscribe to all of them", `  outcry bench retained --topics 100000 --subscribers 5
  outcry bench retained --topics 1000000 --keep --pid $(pgrep -x outcry)`, (*benchFlags).registerRetained},
	{bench.Storm, "Everybody connects and subscribes at once", `  outcry bench storm --clients 10000
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
	fs.IntVar(&f.run.PID, "pid", 0, "the broker's process: measure its processor time and memory")
	fs.IntVar(&f.run.Threads, "threads", 1, "threads of the generator")
	fs.BoolVar(&f.json, "json", false, "print one JSON object instead of tables")
	fs.BoolVar(&f.strict, "strict", false, "QoS 0 messages must not be lost either")
	fs.BoolVar(&f.quiet, "quiet", false, "show no progress")
	f.register(fs)
	return cmd
}

func (f *benchFlags) registerConns(fs *pflag.FlagSet) {
	f.registerClients(fs, 1000, "connections")
	fs.BoolVar(&f.run.Subscribe, "subscribe", false, "each has a subscription of its own")
	fs.VarP(&f.hold, "hold", "", "hold them for so long, and measure the broker meanwhile")
	f.registerConnecting(fs)
}

func (f *benchFlags) registerFanout(fs *pflag.FlagSet) {
	fs.IntVar(&f.run.Subscribers, "subscribers", 1000, "subscribers, dealt out to the topics")
	fs.IntVar(&f.run.Publishers, "publishers", 1, "publishers, dealt out to the topics")
	fs.IntVar(&f.run.Topics, "topics", 1, "topics")
	fs.BoolVar(&f.run.Wildcard, "wildcard", false, "everybody subscribes to all topics")
	f.registerMessages(fs)
}

func (f *benchFlags) registerFanin(fs *pflag.FlagSet) {
	fs.IntVar(&f.run.Publishers, "publishers", 100, "publishers, each with a topic of its own")
	fs.IntVar(&f.run.Subscribers, "subscribers", 1, "subscribers of everything")
	fs.BoolVar(&f.run.Shared, "shared", false, "the subscribers share one subscription, each gets a part")
	f.registerMessages(fs)
}

func (f *benchFlags) registerPairs(fs *pflag.FlagSet) {
	f.registerClients(fs, 50, "pairs")
	f.registerMessages(fs)
}

func (f *benchFlags) registerRetained(fs *pflag.FlagSet) {
	fs.IntVar(&f.run.Topics, "topics", 10_000, "retained messages, one per topic")
	fs.IntVar(&f.run.Subscribers, "subscribers", 1, "subscribers who want all of them, at once")
	fs.IntVar(&f.run.Publishers, "publishers", 1, "publishers who store them, with QoS 1")
	fs.IntVar(&f.run.InFlight, "in-flight", 1000, "unacknowledged messages of a publisher")
	fs.IntVar(&f.run.Payload, "payload", 64, "size of the payload in bytes, at least 16")
	fs.BoolVar(&f.run.Keep, "keep", false, "leave them with the broker (default: remove them at the end)")
	f.registerQoS(fs)
	f.registerDrain(fs)
}

func (f *benchFlags) registerSlow(fs *pflag.FlagSet) {
	fs.IntVar(&f.run.Subscribers, "subscribers", 1000, "subscribers of all topics, the slow ones included")
	fs.IntVar(&f.run.Slow, "slow", 50, "how many of them are slow; they come when the others were measured without them")
	fs.IntVar(&f.run.SlowRate, "slow-rate", 7000, "bytes a second that a slow one reads; a modem of 56 kbit/s has 7,000")
	fs.IntVar(&f.run.SlowBuffer, "slow-buffer", 4<<10, "bytes that its kernel is asked to keep at most")
	fs.IntVar(&f.run.Topics, "topics", 500, "tickers: topics in a room of which a slow reader is to get the newest values (queue: conflate)")
	fs.IntVar(&f.run.Publishers, "publishers", 1, "publishers, dealt out to the topics")
	fs.Float64VarP(&f.run.Rate, "rate", "r", 1000, "messages a second, of all publishers together")
	fs.IntVar(&f.run.Payload, "payload", 64, "size of the payload in bytes, at least 16")
	f.registerDuration(fs)
	f.warmup = seconds(time.Second)
	fs.Var(&f.warmup, "warmup", "time before it is measured")
	f.registerDrain(fs)
	f.registerConnecting(fs)
}

func (f *benchFlags) registerStorm(fs *pflag.FlagSet) {
	f.registerClients(fs, 1000, "clients")
	fs.IntVar(&f.run.Rounds, "rounds", 1, "how often: between storms all connections are closed, or with --reconnect and --dropped stay")
	fs.VarP(&f.hold, "hold", "", "time between storms")
	fs.BoolVar(&f.run.Reconnect, "reconnect", false, "all are connected first, are cut off at once without a word, and come back")
	fs.BoolVar(&f.run.Dropped, "dropped", false, "the same, but the broker cuts them off: restart it when all are connected")
	f.retry = seconds(100 * time.Millisecond)
	fs.VarP(&f.retry, "retry", "", "who is not let in tries again after so long")
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

// registerMessages has the flags of scenarios in which messages are exchanged.
func (f *benchFlags) registerMessages(fs *pflag.FlagSet) {
	fs.Float64VarP(&f.run.Rate, "rate", "r", 0, "messages a second, of all publishers together (default: as fast as they are delivered)")
	fs.IntVar(&f.run.Window, "window", 0, "messages of a publisher under way without --rate (default: up to 1,000)")
	fs.IntVar(&f.run.InFlight, "in-flight", 1000, "QoS 1 and 2: unacknowledged messages of a publisher")
	fs.IntVar(&f.run.Payload, "payload", 64, "size of the payload in bytes, at least 16")
	f.registerQoS(fs)
	f.registerDuration(fs)
	f.warmup = seconds(time.Second)
	fs.Var(&f.warmup, "warmup", "time before it is measured")
	f.registerDrain(fs)
	fs.BoolVar(&f.run.Check, "check", false, "compare every topic and every byte of every payload")
	f.registerConnecting(fs)
}

func (f *benchFlags) registerQoS(fs *pflag.FlagSet) {
	fs.IntVarP(&f.qos, "qos", "q", 0, "quality of service of publishers and subscribers: 0, 1 or 2")
	fs.IntVar(&f.subQoS, "sub-qos", -1, "quality of service of the subscribers, if another")
}

func (f *benchFlags) registerDuration(fs *pflag.FlagSet) {
	f.runtime = seconds(10 * time.Second)
	fs.VarP(&f.runtime, "duration", "d", "time that is measured")
}

func (f *benchFlags) registerDrain(fs *pflag.FlagSet) {
	f.drain = seconds(5 * time.Second)
	fs.Var(&f.drain, "drain", "what has not come once nothing came for so long is lost")
}

func (f *benchFlags) registerConnecting(fs *pflag.FlagSet) {
	fs.Float64Var(&f.run.ConnectRate, "connect-rate", 0, "connections a second (default: no limit)")
	fs.IntVar(&f.run.Pending, "pending", 64, "connections being made at a time")
}

// options are the bench's, from all flags.
func (f *benchFlags) options() (bench.Options, error) {
	o := f.run
	c, err := f.clientFlags.options()
	if err != nil {
		return o, err
	}
	if err := errors.Join(checkQoS("--qos", f.qos), checkQoS("--sub-qos", max(f.subQoS, 0))); err != nil {
		return o, err
	}
	o.URL, o.TLS, o.Version, o.User, o.Password, o.KeepAlive = c.url, c.tls, c.version, c.user, c.password, c.keepAlive
	o.Prefix, o.QoS, o.SubscribeQoS = f.id, byte(f.qos), f.subQoS
	o.Warmup, o.Drain, o.Hold = time.Duration(f.warmup), time.Duration(f.drain), time.Duration(f.hold)
	o.Retry = time.Duration(f.retry)
	if o.Duration = time.Duration(f.runtime); o.Scenario == bench.Churn {
		o.Pending = max(o.Pending, o.Clients)
	}
	return o, nil
}
