// Command mochi is mochi-mqtt's server with nothing added, for comparison: without access control, and with the
// library's configurable queue limits lifted.
package main

import (
	"crypto/tls"
	"flag"
	"log"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"syscall"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

func main() {
	tcp := flag.String("tcp", "127.0.0.1:1883", "address for MQTT over TCP")
	ws := flag.String("ws", "127.0.0.1:8083", "address for MQTT over WebSocket")
	secure := flag.String("tls", "", "address for MQTT over TLS, with --cert and --key; empty: none")
	cert := flag.String("cert", "", "PEM file of the certificate")
	key := flag.String("key", "", "PEM file of its key")
	flag.Parse()
	if err := serve(*tcp, *ws, *secure, *cert, *key); err != nil {
		log.Fatal(err)
	}
}

func serve(tcp, ws, secure, cert, key string) error {
	limits := mqtt.NewDefaultServerCapabilities()
	limits.MaximumClientWritesPending = math.MaxInt16
	limits.MaximumInflight = math.MaxUint16
	limits.ReceiveMaximum = math.MaxUint16
	s := mqtt.New(&mqtt.Options{Capabilities: limits, Logger: slog.New(slog.DiscardHandler)})
	if err := s.AddHook(new(auth.AllowHook), nil); err != nil {
		return err
	}
	if err := s.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: tcp})); err != nil {
		return err
	}
	if err := s.AddListener(listeners.NewWebsocket(listeners.Config{ID: "ws", Address: ws})); err != nil {
		return err
	}
	if secure != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return err
		}
		c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		if err := s.AddListener(listeners.NewTCP(listeners.Config{ID: "tls", Address: secure, TLSConfig: c})); err != nil {
			return err
		}
	}
	if err := s.Serve(); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	return s.Close()
}
