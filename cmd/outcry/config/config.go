// Package config is the configuration of the program: one typed value with its defaults, read from a YAML file, the
// environment and the command line. It reports all errors at once, with their positions. It reads no file but the one
// named, and starts nothing.
package config

import (
	"io/fs"
	"reflect"
	"strings"
	"time"
)

// Config is the whole configuration. Default returns the defaults; config.yaml lists them with comments.
//
// The tag key is a field's name in the file. The tags least and most bound a number, oneof lists the values of a
// string, and none gives the meaning of the word none, which sets the value -1.
type Config struct {
	Data       string     `key:"data"`
	Listeners  Listeners  `key:"listeners"`
	HTTP       HTTP       `key:"http"`
	Auth       Auth       `key:"auth"`
	Rules      []Rule     `key:"rules"`
	Rooms      []Room     `key:"rooms"`
	ClientIDs  []ClientID `key:"client_ids"`
	Limits     Limits     `key:"limits"`
	Durability Durability `key:"durability"`
	Runtime    Runtime    `key:"runtime"`
	Log        Log        `key:"log"`
	Demo       Demo       `key:"demo"`
}

// Listeners are the clients' listeners. One without an address is off.
type Listeners struct {
	TCP  TCP       `key:"tcp"`
	TLS  TLS       `key:"tls"`
	WS   WebSocket `key:"ws"`
	WSS  WSS       `key:"wss"`
	Unix Unix      `key:"unix"`
	ACME ACME      `key:"acme"`
}

// ACME configures certificates from an ACME authority. Without names it is off.
type ACME struct {
	Names       []string `key:"names"`
	AcceptTerms bool     `key:"accept_terms"`
	Email       string   `key:"email"`
	Directory   string   `key:"directory"`
	DirectoryCA string   `key:"directory_ca"`
	HTTPAddress string   `key:"http_address"`
}

// TCP is MQTT over TCP.
type TCP struct {
	Address       string        `key:"address"`
	KeepAlive     time.Duration `key:"keepalive" least:"1s" none:"no probes"`
	ProxyProtocol []string      `key:"proxy_protocol"` // see Prefixes
}

// TLS is MQTT over TLS.
type TLS struct {
	Address       string        `key:"address"`
	KeepAlive     time.Duration `key:"keepalive" least:"1s" none:"no probes"`
	ProxyProtocol []string      `key:"proxy_protocol"` // see Prefixes
	Certificate   Certificate   `key:"certificate"`
	Certificates  []Pair        `key:"certificates"`
}

// WebSocket is MQTT over WebSocket, and the pages.
type WebSocket struct {
	Address            string        `key:"address"`
	KeepAlive          time.Duration `key:"keepalive" least:"1s" none:"no probes"`
	Ping               time.Duration `key:"ping" least:"1s" none:"no pings"`
	ProxyProtocol      []string      `key:"proxy_protocol"` // see Prefixes
	Forwarded          []string      `key:"forwarded"`      // see Prefixes
	ForwardedHeader    string        `key:"forwarded_header" oneof:"X-Forwarded-For Forwarded"`
	Paths              []string      `key:"paths"`
	Pages              bool          `key:"pages"`
	Origins            []string      `key:"origins"`
	Hosts              []string      `key:"hosts"` // none: any
	AllowNoSubprotocol bool          `key:"allow_no_subprotocol"`
	Compression        bool          `key:"compression"`
}

// WSS is WebSocket with TLS.
type WSS struct {
	WebSocket    `key:",inline"`
	Certificate  Certificate `key:"certificate"`
	Certificates []Pair      `key:"certificates"`
}

// Certificate names the PEM files of a server, with its policy for client certificates.
type Certificate struct {
	File     string `key:"file"`
	Key      string `key:"key"`
	ClientCA string `key:"client_ca"`
	Clients  string `key:"clients" oneof:"none request require"`
}

// Pair are the PEM files of a further certificate, for clients that request its name.
type Pair struct {
	File string `key:"file"`
	Key  string `key:"key"`
}

// Unix is MQTT over a unix socket.
type Unix struct {
	Address string      `key:"address"` // a path
	Mode    fs.FileMode `key:"mode"`
}

// HTTP configures the operator's HTTP: metrics, health and profiles.
type HTTP struct {
	Address   string   `key:"address"`
	TokenFile string   `key:"token_file"` // "": no token; Address must be loopback
	Hosts     []string `key:"hosts"`      // none: loopback, or any if Address is not
}

// Auth configures authentication.
type Auth struct {
	JWT               JWT    `key:"jwt"`
	PasswordFile      string `key:"password_file"`
	ClientCertificate string `key:"client_certificate" oneof:"none cn dns email uri"`
	Anonymous         bool   `key:"anonymous"`
	AnonymousSessions string `key:"anonymous_sessions" oneof:"keep takeover"`
	DenyFile          string `key:"deny_file"`
}

// TakesOver reports whether a user may take over an anonymous client's session by its client identifier.
func (a *Auth) TakesOver() bool { return a.AnonymousSessions == "takeover" }

// Durability bounds the delay until durable state is on disk.
type Durability struct {
	Mode           string        `key:"mode" oneof:"commit relaxed"`
	CommitInterval time.Duration `key:"commit_interval" least:"10us" none:"no waiting"`
	Window         time.Duration `key:"window" least:"10ms"`
	MaxPending     Size          `key:"max_pending" least:"64KiB"`
}

// Runtime bounds the memory of the program itself.
type Runtime struct {
	MemoryLimit Size `key:"memory_limit" none:"no limit"` // 0: a share of the available memory
	GCPercent   int  `key:"gc_percent" least:"10" most:"1000000" none:"only at the memory limit"`
}

// Log configures the log on standard error.
type Log struct {
	Level  string `key:"level" oneof:"debug info warn error"`
	Format string `key:"format" oneof:"text json"`
}

// Demo configures the devices of serve --demo, and the lifetime of its page's tokens.
type Demo struct {
	Ticker   DemoTicker    `key:"ticker"`
	Machine  DemoMachine   `key:"machine"`
	TokenTTL time.Duration `key:"token_ttl" least:"1s"`
}

// DemoTicker is a stock exchange.
type DemoTicker struct {
	Symbols int     `key:"symbols" least:"1"`
	Rate    float64 `key:"rate" least:"0.1"`
}

// DemoMachine publishes figures of this machine.
type DemoMachine struct {
	Every time.Duration `key:"every" least:"100ms"`
}

// Changed returns the paths of the keys whose values differ between two configurations, in the order of Config.
func Changed(a, b Config) (paths []string) {
	for _, path := range Paths() {
		x, y := lookup(reflect.ValueOf(a), path), lookup(reflect.ValueOf(b), path)
		if !reflect.DeepEqual(x.Interface(), y.Interface()) {
			paths = append(paths, path)
		}
	}
	return paths
}

// lookup returns the value at one of Paths.
func lookup(v reflect.Value, path string) reflect.Value {
	for key := range strings.SplitSeq(path, ".") {
		f, _ := findField(fieldsOf(v.Type()), key)
		v = v.FieldByIndex(f.index)
	}
	return v
}
