// Package config is the configuration of the program: one typed value with its defaults, read from a YAML file, the
// environment and the command line, with every error at once and where it stands. It reads no file but the one that it
// is told to, and starts nothing.
package config

import (
	"io/fs"
	"time"
)

// Config is everything that can be configured. Default returns the defaults; config.yaml lists them with a comment each.
//
// The tag key is a field's name in the file. The tag least is the smallest value of a number, oneof are the values of a
// string, and none is what the word none stands for, which makes the value -1.
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

// Listeners are where clients come in. One without an address is off.
type Listeners struct {
	TCP  TCP       `key:"tcp"`
	TLS  TLS       `key:"tls"`
	WS   WebSocket `key:"ws"`
	WSS  WSS       `key:"wss"`
	Unix Unix      `key:"unix"`
	ACME ACME      `key:"acme"`
}

// ACME are the certificates that an authority gives by itself. Without names it is off.
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

// Certificate are the PEM files of a server, and what it asks of its clients.
type Certificate struct {
	File     string `key:"file"`
	Key      string `key:"key"`
	ClientCA string `key:"client_ca"`
	Clients  string `key:"clients" oneof:"none request require"`
}

// Pair are the PEM files of a further certificate, which is shown to clients that ask for its name.
type Pair struct {
	File string `key:"file"`
	Key  string `key:"key"`
}

// Unix is MQTT over a unix socket.
type Unix struct {
	Address string      `key:"address"` // a path
	Mode    fs.FileMode `key:"mode"`
}

// HTTP is the operator's: metrics, health and profiles.
type HTTP struct {
	Address   string   `key:"address"`
	TokenFile string   `key:"token_file"` // "": no token; Address must be loopback
	Hosts     []string `key:"hosts"`      // none: loopback, or any if Address is not
}

// Auth says who clients are.
type Auth struct {
	JWT               JWT    `key:"jwt"`
	PasswordFile      string `key:"password_file"`
	ClientCertificate string `key:"client_certificate" oneof:"none cn dns email uri"`
	Anonymous         bool   `key:"anonymous"`
	DenyFile          string `key:"deny_file"`
}

// Durability says when what must outlive the process is on disk.
type Durability struct {
	Mode           string        `key:"mode" oneof:"commit relaxed"`
	CommitInterval time.Duration `key:"commit_interval" least:"10us" none:"no waiting"`
	Window         time.Duration `key:"window" least:"10ms"`
	MaxPending     Size          `key:"max_pending" least:"64KiB"`
}

// Runtime bounds the memory of the program itself.
type Runtime struct {
	MemoryLimit Size `key:"memory_limit" none:"no limit"` // 0: a share of what there is
	GCPercent   int  `key:"gc_percent" least:"10" none:"only at the memory limit"`
}

// Log says what is logged, to standard error.
type Log struct {
	Level  string `key:"level" oneof:"debug info warn error"`
	Format string `key:"format" oneof:"text json"`
}

// Demo are the devices of serve --demo, and how long the tokens live with which its page connects.
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

// DemoMachine is this machine's own figures.
type DemoMachine struct {
	Every time.Duration `key:"every" least:"100ms"`
}
