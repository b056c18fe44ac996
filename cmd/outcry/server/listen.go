package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/listeners"
	"github.com/outcry-mqtt/outcry/web"
	"golang.org/x/sync/errgroup"
)

// acmeFolder holds the certificates of an ACME authority, in the data folder.
const acmeFolder = "acme"

// listenerSet holds all listeners of the configuration, and the certificates of those with TLS.
type listenerSet struct {
	listeners []listeners.Listener
	certs     []*listeners.CertReloader
	acme      *listeners.ACME // nil: off
}

// pageOptions is the common part of the listeners with pages, independent of their configuration.
type pageOptions struct {
	hosts  []string     // accepted Host headers if the configuration names none; nil: all
	own    bool         // those without TLS then accept listeners.HostsOwn
	tokens http.Handler // the demo's token handler, for listeners on loopback; nil: none
}

// peerLimits are a listener's limits on peers before MQTT.
type peerLimits struct {
	most    int           // connections before MQTT
	pages   int           // connections that load pages
	timeout time.Duration // 0: the listener's default
}

// bindAll binds every listener that has an address. If some cannot be bound, the error names all of them, and all
// others are closed.
func bindAll(c *config.Loaded, to listeners.Attacher, at pageOptions, log *slog.Logger) (*listenerSet, error) {
	e := &listenerSet{}
	l := &c.Listeners
	if err := e.openACME(c, log); err != nil {
		return nil, err
	}
	limits := peerLimits{most: c.Limits.MaxHandshakes, pages: c.Limits.MaxPages, timeout: max(c.Limits.ConnectTimeout, 0)}
	err := errors.Join(
		e.add(l.TCP.Address, func() (listeners.Listener, error) { return bindTCP(l.TCP, limits, to, log) }),
		e.add(l.TLS.Address, func() (listeners.Listener, error) { return e.bindTLS(l.TLS, limits, to, log) }),
		e.add(l.WS.Address, func() (listeners.Listener, error) {
			return bindWebSocket(l.WS, nil, limits, to, at, log)
		}),
		e.add(l.WSS.Address, func() (listeners.Listener, error) { return e.bindWSS(l.WSS, limits, to, at, log) }),
		e.add(l.Unix.Address, func() (listeners.Listener, error) { return bindUnix(l.Unix, to, log) }),
		e.add(l.ACME.HTTPAddress, func() (listeners.Listener, error) { return listeners.ListenACME(l.ACME.HTTPAddress, e.acme, log) }),
	)
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// openACME prepares the certificates of an ACME authority, without a request.
func (e *listenerSet) openACME(c *config.Loaded, log *slog.Logger) (err error) {
	a := &c.Listeners.ACME
	if len(a.Names) == 0 {
		return nil
	}
	e.acme, err = listeners.NewACME(listeners.ACMEOptions{
		Names: a.Names, Folder: filepath.Join(c.Data, acmeFolder), AcceptTerms: a.AcceptTerms, Email: a.Email,
		Directory: a.Directory, DirectoryCA: a.DirectoryCA, Logger: log,
	})
	if err != nil {
		return fmt.Errorf("listeners.acme: %w", err)
	}
	return nil
}

func (e *listenerSet) add(address string, bind func() (listeners.Listener, error)) error {
	if address == "" {
		return nil
	}
	l, err := bind()
	if err != nil {
		return err
	}
	e.listeners = append(e.listeners, l)
	return nil
}

func (e *listenerSet) close() {
	for _, l := range e.listeners {
		l.Close()
	}
}

// shutdown stops all listeners concurrently.
func (e *listenerSet) shutdown(ctx context.Context) error {
	var all errgroup.Group
	for _, l := range e.listeners {
		all.Go(func() error { return l.Shutdown(ctx) })
	}
	return all.Wait()
}

func bindTCP(c config.TCP, limits peerLimits, to listeners.Attacher, log *slog.Logger) (listeners.Listener, error) {
	proxies, err := config.Prefixes(c.ProxyProtocol)
	if err != nil {
		return nil, err // config.Load has checked them
	}
	return listeners.ListenTCP(listeners.TCPOptions{
		Address: c.Address, Attacher: to, KeepAlive: c.KeepAlive, ProxyProtocol: proxies, MaxHandshakes: limits.most, HandshakeTimeout: limits.timeout, Logger: log,
	})
}

func (e *listenerSet) bindTLS(c config.TLS, limits peerLimits, to listeners.Attacher, log *slog.Logger) (listeners.Listener, error) {
	conf, err := e.certificate("listeners.tls.certificate", c.Certificate, c.Certificates, log)
	if err != nil {
		return nil, err
	}
	proxies, err := config.Prefixes(c.ProxyProtocol)
	if err != nil {
		return nil, err // config.Load has checked them
	}
	return listeners.ListenTCP(listeners.TCPOptions{
		Address: c.Address, Attacher: to, TLS: conf, KeepAlive: c.KeepAlive, ProxyProtocol: proxies, MaxHandshakes: limits.most, HandshakeTimeout: limits.timeout, Logger: log,
	})
}

func bindWebSocket(c config.WebSocket, conf *tls.Config, limits peerLimits, to listeners.Attacher, at pageOptions, log *slog.Logger) (listeners.Listener, error) {
	hosts := at.hosts
	if at.own && conf == nil { // with TLS, a browser rejects our certificate for a stranger's name
		hosts = []string{listeners.HostsOwn}
	}
	if len(c.Hosts) > 0 {
		hosts = c.Hosts
	}
	var pages http.Handler
	if c.Pages {
		pages = web.Handler()
	}
	if c.Pages && at.tokens != nil && listeners.IsLoopback(c.Address) {
		pages = withFreshTokens(at.tokens, pages)
	}
	senders, err1 := config.Prefixes(c.ProxyProtocol)
	forwarders, err2 := config.Prefixes(c.Forwarded)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err // config.Load has checked them
	}
	return listeners.ListenWebSocket(listeners.WebSocketOptions{
		Address: c.Address, Attacher: to, TLS: conf, KeepAlive: c.KeepAlive, Ping: c.Ping, Logger: log,
		Compression: c.Compression,
		Paths:       c.Paths, Pages: pages, Origins: append([]string{}, c.Origins...), Hosts: hosts, AllowNoSubprotocol: c.AllowNoSubprotocol,
		ProxyProtocol: senders, Forwarded: forwarders, ForwardedHeader: c.ForwardedHeader, MaxRequests: limits.most, MaxPages: limits.pages, HeaderTimeout: limits.timeout,
	})
}

func (e *listenerSet) bindWSS(c config.WSS, limits peerLimits, to listeners.Attacher, at pageOptions, log *slog.Logger) (listeners.Listener, error) {
	conf, err := e.certificate("listeners.wss.certificate", c.Certificate, c.Certificates, log)
	if err != nil {
		return nil, err
	}
	return bindWebSocket(c.WebSocket, conf, limits, to, at, log)
}

func bindUnix(c config.Unix, to listeners.Attacher, log *slog.Logger) (listeners.Listener, error) {
	return listeners.ListenUnix(listeners.UnixOptions{Path: c.Address, Attacher: to, Mode: c.Mode, Logger: log})
}

// certificate reads a listener's certificates and keeps them for reloads.
func (e *listenerSet) certificate(path string, c config.Certificate, more []config.Pair, log *slog.Logger) (*tls.Config, error) {
	ask := map[string]listeners.ClientAuth{
		"none":    listeners.ClientCertNone,
		"request": listeners.ClientCertRequest,
		"require": listeners.ClientCertRequire,
	}
	o := listeners.CertOptions{ACME: e.acme, ClientAuth: ask[c.Clients], ClientCAFile: c.ClientCA, Logger: log}
	if c.File != "" {
		o.Pairs = append(o.Pairs, listeners.Pair{CertFile: c.File, KeyFile: c.Key})
	}
	for _, p := range more {
		o.Pairs = append(o.Pairs, listeners.Pair{CertFile: p.File, KeyFile: p.Key})
	}
	r, err := listeners.NewCertReloader(o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	e.certs = append(e.certs, r)
	return r.Config(), nil
}

// addresses returns the bound addresses by the listeners' names.
func (e *listenerSet) addresses() map[string]string {
	m := map[string]string{}
	for _, l := range e.listeners {
		m[l.Name()] = l.Addr().String()
	}
	return m
}

// withPosition adds the configuration position to each error of a listener.
func withPosition(c *config.Loaded, err error) error {
	var all []error
	for _, e := range command.Flatten(err) {
		var bind *listeners.BindError
		path, message, _ := strings.Cut(e.Error(), ": ")
		switch {
		case errors.As(e, &bind):
			e = fmt.Errorf("%w (%s)", e, c.Where(bind.Key))
		case strings.HasPrefix(path, "listeners."):
			e = c.Problem(path, message, "")
		}
		all = append(all, e)
	}
	return errors.Join(all...)
}
