package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/outcry-mqtt/outcry/hooks/metrics"
	"github.com/outcry-mqtt/outcry/listeners"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// storeFile is the broker's store in the data folder.
const storeFile = "outcry.db"

// server is a broker with everything around it. What the configuration does without is nil.
type server struct {
	// Static after construction.
	flags   *serveFlags
	options config.Options // what the configuration is loaded from, again at each reload
	out     io.Writer
	log     *slog.Logger
	level   slog.LevelVar
	store   *boltstore.Store
	access  *access
	broker  *broker.Broker
	in      *entrance
	ops     *listeners.Ops
	service *storeService // nil without ops

	// Owned by run.
	config  *config.Loaded
	devices demoDevices

	state atomic.Int32
}

// The states of a server.
const (
	stateStarting int32 = iota
	stateReady
	stateStopping
)

var (
	errStarting = errors.New("starting")
	errStopping = errors.New("stopping")
)

// open makes all parts and binds all addresses, without starting anything. If a part fails, those before it are closed.
func open(f *serveFlags, o config.Options, c *config.Loaded, out, log io.Writer) (_ *server, err error) {
	s := &server{flags: f, options: o, out: out, config: c}
	s.log = newLogger(c, log, &s.level)
	for _, w := range c.Warnings {
		s.log.Warn("configuration", "problem", w.String())
	}
	tuneMemory(&c.Runtime, s.log)
	defer func() {
		if err != nil {
			s.abandon()
		}
	}()
	for _, step := range []func() error{s.openData, s.openStore, s.openBroker, s.openListeners} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func newLogger(c *config.Loaded, w io.Writer, level *slog.LevelVar) *slog.Logger {
	setLevel(level, &c.Config)
	o := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func setLevel(level *slog.LevelVar, c *config.Config) {
	_ = level.UnmarshalText([]byte(c.Log.Level)) // config.Load has checked it
}

// openData makes the data folder and the secret in it, if they are missing.
func (s *server) openData() error {
	if err := os.MkdirAll(s.config.Data, 0o700); err != nil {
		return s.config.Problem("data", cause(err), "choose a folder that this user may make and write to")
	}
	if s.config.Auth.JWT.SecretFile != "" {
		return nil // none, or one that must be there already
	}
	path := secretPath(&s.config.Config)
	_, created, err := jwt.LoadOrCreateSecret(path)
	if created {
		s.log.Info("signing secret made", "file", path)
	}
	return err
}

// cause is an error of package os without the name that it begins with.
func cause(err error) string {
	var e *os.PathError
	if errors.As(err, &e) {
		return e.Path + ": " + e.Err.Error()
	}
	return err.Error()
}

func (s *server) openStore() (err error) {
	d := &s.config.Durability
	s.store, err = boltstore.Open(boltstore.Options{
		Path:            filepath.Join(s.config.Data, storeFile),
		CommitInterval:  d.CommitInterval,
		Window:          d.Window,
		MaxPendingBytes: int64(d.MaxPending),
		Logger:          s.log,
	})
	return err
}

func (s *server) openBroker() (err error) {
	if s.access, err = newAccess(s.config, s.log); err != nil {
		return err
	}
	o := broker.Options{
		Hooks:   s.access.hooks(&s.config.Config),
		Store:   s.store,
		Logger:  s.log,
		Shards:  s.flags.shards,
		Version: readVersion().Version,
		Limits:  s.config.Limits.Broker(),
		Relaxed: s.config.Durability.Mode == "relaxed",
	}
	o.Limits.MaxStoringBytes = int(s.config.Durability.MaxPending / 2) // so that clients wait and are not refused
	boundConnections(&o.Limits, openFiles(), s.log)
	if s.flags.open > 0 {
		o.Hooks = openHooks()
		withoutDrops(&o.Limits)
	}
	s.broker, err = broker.New(o)
	return err
}

// withoutDrops takes away the limits that would drop a message for a slow client.
func withoutDrops(l *broker.Limits) {
	l.MaxQueuedMessages, l.MaxQueuedBytes = -1, -1
	l.MaxQueuedMessagesTotal, l.MaxQueuedBytesTotal = -1, -1
	l.MaxParkedMessages, l.MaxParkedBytes = -1, -1
}

// openListeners binds the clients' listeners and the operator's.
func (s *server) openListeners() error {
	at := site{tokens: s.freshTokens()}
	if s.flags.open == 1 {
		at.hosts = []string{"loopback"} // or any page on the web could reach it, by a name that leads here
	}
	in, err := bindAll(s.config, s.broker, at, s.log)
	if err == nil {
		s.in = in
	}
	return withPosition(s.config, errors.Join(err, s.openOps()))
}

func (s *server) openOps() error {
	c := &s.config.HTTP
	if c.Address == "" {
		return nil
	}
	registry := prometheus.NewRegistry()
	_, err := metrics.New(metrics.Options{
		Registerer: registry,
		Stats:      s.broker.Stats,
		Store:      func() metrics.StoreStats { return metrics.StoreStats(s.store.Stats()) },
		Tokens:     s.access.tokenStats,
		Denied:     s.access.denyStats(),
		Version:    readVersion().Version,
	})
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	s.service = newStoreService(s.store, s.log)
	handlers := s.service.handlers()
	handlers[slowestPattern] = slowestHandler(s.broker.Slowest)
	o := listeners.OpsOptions{
		Address: c.Address, TokenFile: c.TokenFile, Logger: s.log, Ready: s.obstacles,
		Metrics:  promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
		Handlers: handlers,
	}
	if len(c.Hosts) > 0 {
		o.Hosts = c.Hosts
	}
	ops, err := listeners.ListenOps(o)
	if err != nil {
		return err
	}
	s.ops = ops
	return registry.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "outcry_http_refused_total",
		Help: "Requests to the operator's HTTP that did not show its token.",
	}, func() float64 { return float64(ops.Refused()) }))
}

// obstacles are what prevents the server from taking clients.
func (s *server) obstacles() (all []error) {
	switch s.state.Load() {
	case stateStarting:
		all = append(all, errStarting)
	case stateStopping:
		all = append(all, errStopping)
	}
	if err := s.store.Err(); err != nil {
		all = append(all, fmt.Errorf("store: %w", err))
	}
	return all
}

// abandon closes what was opened by an open that failed.
func (s *server) abandon() {
	if s.in != nil {
		s.in.close()
	}
	if s.ops != nil {
		s.ops.Close()
	}
	if s.store != nil {
		s.store.Close()
	}
}

// addresses are all addresses that were bound, by the listeners' names.
func (s *server) addresses() map[string]string {
	all := s.in.addresses()
	if s.ops != nil {
		all[s.ops.Name()] = s.ops.Addr().String()
	}
	return all
}
