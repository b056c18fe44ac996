// Package server assembles, starts, reloads and stops the parts of outcry serve. It implements no protocol itself.
package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/access"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/cmd/outcry/store"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/outcry-mqtt/outcry/hooks/metrics"
	"github.com/outcry-mqtt/outcry/listeners"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// server is a broker with all its parts. Unconfigured ones are nil.
type server struct {
	// Static after construction.
	flags   *serveFlags
	options config.Options // sources of the configuration, read again at each reload
	outputs *outputs
	log     *slog.Logger
	level   slog.LevelVar
	store   *boltstore.Store
	access  *access.Access
	broker  *broker.Broker
	in      *listenerSet
	ops     *listeners.Ops
	service *store.Service // nil without ops

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

// open creates all parts and binds all addresses, without starting anything. If a part fails, it closes the earlier
// ones.
func open(f *serveFlags, o config.Options, c *config.Loaded, out *outputs) (_ *server, err error) {
	s := &server{flags: f, options: o, outputs: out, config: c}
	s.log = newLogger(c, out.log, &s.level)
	for _, w := range c.Warnings {
		s.log.Warn("configuration", "problem", w.String())
	}
	tuneMemory(&c.Runtime, s.log)
	defer func() {
		if err != nil {
			s.closeParts()
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
	return slog.New(newLogHandler(c.Log.Format, w, level))
}

func newLogHandler(format string, w io.Writer, level slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

func setLevel(level *slog.LevelVar, c *config.Config) {
	_ = level.UnmarshalText([]byte(c.Log.Level)) // config.Load has checked it
}

// openData creates the data folder and the secret in it, if they are missing.
func (s *server) openData() error {
	if err := os.MkdirAll(s.config.Data, 0o700); err != nil {
		return s.config.Problem("data", cause(err), "choose a folder that this user can create and write to")
	}
	if s.config.Auth.JWT.SecretFile != "" {
		return nil // no secret, or one that must exist
	}
	path := access.SecretPath(&s.config.Config)
	_, created, err := jwt.LoadOrCreateSecret(path)
	if created {
		s.log.Info("signing secret made", "file", path)
	}
	return err
}

// cause returns an error of package os without its path.
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
		Path:            filepath.Join(s.config.Data, store.File),
		CommitInterval:  d.CommitInterval,
		Window:          d.Window,
		MaxPendingBytes: int64(d.MaxPending),
		Logger:          s.log,
	})
	return err
}

func (s *server) openBroker() (err error) {
	if s.access, err = access.New(s.config, s.log); err != nil {
		return err
	}
	for _, w := range emptyFiles(s.config) {
		s.log.Warn("configuration", "problem", w.String())
	}
	o := broker.Options{
		Hooks:   s.access.Hooks(&s.config.Config),
		Store:   s.store,
		Logger:  s.log,
		Shards:  s.flags.shards,
		Version: command.ReadVersion().Version,
		Limits:  s.config.Limits.Broker(),
		Relaxed: s.config.Durability.Mode == "relaxed",

		TakeOverAnonymous: s.config.Auth.TakesOver(),
	}
	o.Limits.MaxStoringBytes = (s.config.Durability.MaxPending / 2).Int() // so that clients wait and are not refused
	boundConnections(&o.Limits, openFiles(), s.log)
	boundMemory(&o.Limits, s.log)
	if s.flags.open > 0 {
		o.Hooks = access.OpenHooks()
		withoutDrops(&o.Limits)
	}
	s.broker, err = broker.New(o)
	return err
}

// withoutDrops removes the limits that would drop messages for a slow client.
func withoutDrops(l *broker.Limits) {
	l.MaxQueuedMessages, l.MaxQueuedBytes = -1, -1
	l.MaxQueuedMessagesTotal, l.MaxQueuedBytesTotal = -1, -1
	l.MaxParkedMessages, l.MaxParkedBytes = -1, -1
}

// openListeners binds the clients' listeners and the operator's.
func (s *server) openListeners() error {
	at := pageOptions{tokens: s.freshTokens()}
	switch { // or any web page could reach it, by a name that resolves to this machine
	case s.flags.open == 1:
		at.hosts = []string{"loopback"}
	case s.flags.open > 1, s.config.Auth.Anonymous:
		at.own = true
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
		Tokens:     s.access.TokenStats,
		Denied:     s.access.DenyStats(),
		Version:    command.ReadVersion().Version,
	})
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	s.service = store.NewService(s.store, s.broker.DropSession, s.log)
	handlers := s.service.Handlers()
	handlers[slowestPattern] = slowestHandler(s.broker.Slowest)
	o := listeners.OpsOptions{
		Address: c.Address, TokenFile: c.TokenFile, Logger: s.log, Ready: s.notReadyReasons,
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
	return errors.Join(
		count(registry, "outcry_http_refused_total", "Requests to the operator's listener without a valid token.", ops.Refused),
		count(registry, "outcry_log_lost_lines_total", "Log lines that could not be written.", s.outputs.log.Lost.Load),
	)
}

func count(r prometheus.Registerer, name, help string, of func() uint64) error {
	return r.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
		func() float64 { return float64(of()) }))
}

// notReadyReasons returns the reasons why the server cannot accept clients.
func (s *server) notReadyReasons() (all []error) {
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

// closeParts closes the parts of a failed open.
func (s *server) closeParts() {
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

// addresses returns all bound addresses by the listeners' names.
func (s *server) addresses() map[string]string {
	all := s.in.addresses()
	if s.ops != nil {
		all[s.ops.Name()] = s.ops.Addr().String()
	}
	return all
}
