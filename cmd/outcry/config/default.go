package config

import "time"

// none is the value of the word none.
const none = -1

// Default returns the default configuration.
func Default() Config {
	return Config{
		Data: "./data",
		Listeners: Listeners{
			TCP:  TCP{Address: "127.0.0.1:1883", KeepAlive: time.Minute},
			TLS:  TLS{KeepAlive: time.Minute, Certificate: Certificate{Clients: "none"}},
			WS:   defaultWebSocket("127.0.0.1:8083"),
			WSS:  WSS{WebSocket: defaultWebSocket(""), Certificate: Certificate{Clients: "none"}},
			Unix: Unix{Mode: 0o660},
			ACME: ACME{Directory: "https://acme-v02.api.letsencrypt.org/directory"},
		},
		HTTP: HTTP{Address: "127.0.0.1:9090"},
		Auth: Auth{
			JWT:               defaultJWT(),
			ClientCertificate: "none",
			AnonymousSessions: "keep",
		},
		Rules:  defaultRules(),
		Rooms:  defaultRooms(),
		Limits: defaultLimits(),
		Durability: Durability{
			Mode:           "commit",
			CommitInterval: 200 * time.Microsecond,
			Window:         time.Second,
			MaxPending:     64 << 20,
		},
		Runtime: Runtime{GCPercent: 100},
		Log:     Log{Level: "info", Format: "text"},
		Demo: Demo{
			Ticker:   DemoTicker{Symbols: 500, Rate: 1000},
			Machine:  DemoMachine{Every: time.Second},
			TokenTTL: 5 * time.Minute,
		},
	}
}

func defaultWebSocket(address string) WebSocket {
	return WebSocket{
		Address:         address,
		KeepAlive:       time.Minute,
		Ping:            25 * time.Second,
		ForwardedHeader: "X-Forwarded-For",
		Paths:           []string{"/mqtt"},
		Pages:           true,
		Origins:         []string{"self"},
	}
}

// minMemoryLimit is less than the idle program uses: with a lower limit it would collect all the time.
const minMemoryLimit = 32 << 20

// runtime checks rules that the tags of Runtime cannot express.
func (v *validator) runtime() {
	r := &v.loaded.Runtime
	if r.MemoryLimit > 0 && r.MemoryLimit < minMemoryLimit {
		v.report("runtime.memory_limit", "is less than the program needs without clients", "write 32MiB or more, or 0 for three quarters of the memory")
	}
	if r.MemoryLimit == none && r.GCPercent == none {
		v.report("runtime.gc_percent", "without a memory limit the garbage collector would never run", "write 100, or set runtime.memory_limit")
	}
}
