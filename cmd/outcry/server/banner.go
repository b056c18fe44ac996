package server

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/access"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/cmd/outcry/lines"
)

// The user of the banner's examples.
const (
	guestUser = "guest"
	guestTTL  = 24 * time.Hour
	guestFile = "guest.jwt" // in the data folder
)

var guestRooms = []string{"lobby", "traders"}

// chatLine is a shell expression for a new chat message each time, in the page's format.
const chatLine = `'{"id":"'$(date +%s%N)'","from":"guest","text":"hello","at":'$(date +%s000)'}'`

// printBanner prints the next steps for a person. The broker continues even if that fails.
func (s *server) printBanner(addresses map[string]string) {
	p := newPrinter(s.outputs.banner)
	p.line("%s %s is ready.", p.bold("Outcry"), command.ReadVersion().Version)
	p.line("")
	guest := s.printGuest(p, addresses)
	for _, name := range []string{"tcp", "tls", "ws", "wss", "unix"} {
		if address := addresses[name]; address != "" {
			p.item("mqtt", "%s", s.clientURL(name, address))
		}
	}
	if address := addresses["http"]; address != "" {
		p.item("metrics", "http://%s/metrics", reachable(address))
	}
	if !guest && s.flags.open == 0 {
		p.item("tokens", "outcry token --user NAME --rooms lobby%s", s.secretFlag())
	}
	if s.flags.open > 0 {
		p.line("\n  %s every client may do everything (--open).", p.bold("Open:"))
	}
	p.line("\nCtrl-C stops it.")
}

// printGuest prints examples for user guest or, with --open, for anonymous clients. It writes a token for a person
// only: to a terminal, or with the demo, but not to a service's log.
func (s *server) printGuest(p *printer, addresses map[string]string) (shown bool) {
	secret := access.SecretPath(&s.config.Config) != ""
	if !secret || !s.flags.demo && !p.terminal && s.flags.open == 0 {
		s.printPage(p, addresses, "")
		return false
	}
	token, err := access.NewMinter(&s.config.Config).Token(guestUser, guestRooms, s.loginClaims(), guestTTL)
	if err != nil {
		s.log.Warn("cannot make the guest's token", "error", err)
		s.printPage(p, addresses, "")
		return false
	}
	s.printPage(p, addresses, "#token="+token)
	path := filepath.Join(s.config.Data, guestFile)
	if err := writeFile(path, []byte(token+"\n"), 0o600); err != nil {
		// For example on a full disk: a working broker must not end because of an example.
		s.log.Warn("cannot write the guest's token", "error", err)
		return s.flags.open > 0
	}
	if tcp := addresses["tcp"]; tcp != "" {
		client := s.clientFlags(tcp, path)
		p.item("listen", "mosquitto_sub %s -t %s -v", client, s.exampleFilter())
		p.item("speak", "mosquitto_pub %s -t chat/lobby/say -m %s", client, chatLine)
	}
	return true
}

// exampleFilter returns a filter, quoted for a shell, whose topics have messages: the demo's, or else those of the
// example.
func (s *server) exampleFilter() string {
	if s.flags.demo {
		return "'ticker/#'"
	}
	return "'chat/lobby/#'"
}

func (s *server) printPage(p *printer, addresses map[string]string, fragment string) {
	if address := addresses["ws"]; address != "" && s.config.Listeners.WS.Pages {
		p.item("page", "%s", p.underlined("http://"+reachable(address)+"/"+fragment))
	} else if address := addresses["wss"]; address != "" && s.config.Listeners.WSS.Pages {
		p.item("page", "%s", p.underlined("https://"+reachable(address)+"/"+fragment))
	}
}

// clientFlags returns connection flags for mosquitto_pub and mosquitto_sub.
func (s *server) clientFlags(tcp, tokenFile string) string {
	host, port, _ := net.SplitHostPort(reachable(tcp))
	flags := "-h " + host + " -p " + port
	if s.flags.open > 0 {
		return flags
	}
	return flags + ` -u ` + guestUser + ` -P "$(cat ` + quote(tokenFile) + `)"`
}

// secretFlag returns a flag for outcry token, if it would not find the secret by itself.
func (s *server) secretFlag() string {
	if path := access.SecretPath(&s.config.Config); path != filepath.Join("data", "secret") {
		return " --secret-file " + quote(path)
	}
	return ""
}

func (s *server) clientURL(name, address string) string {
	switch name {
	case "tcp":
		return "mqtt://" + reachable(address)
	case "tls":
		return "mqtts://" + reachable(address)
	case "ws":
		return "ws://" + reachable(address) + s.config.Listeners.WS.Paths[0]
	case "wss":
		return "wss://" + reachable(address) + s.config.Listeners.WSS.Paths[0]
	}
	return "unix://" + address
}

// reachable returns a local address for a bound one, which may be unspecified.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// quote quotes a word for a shell if necessary.
func quote(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// printer prints lines, with emphasis on a terminal.
type printer struct {
	w        *lines.Writer
	terminal bool
	colour   bool
}

func newPrinter(w *lines.Writer) *printer {
	p := &printer{w: w, terminal: w.IsTerminal()}
	p.colour = p.terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return p
}

func (p *printer) line(format string, args ...any) {
	fmt.Fprintf(p.w, format+"\n", args...)
}

func (p *printer) item(name, format string, args ...any) {
	p.line("  %s "+format, append([]any{p.bold(fmt.Sprintf("%-8s", name))}, args...)...)
}

func (p *printer) bold(text string) string { return p.escaped("1", text) }

func (p *printer) underlined(text string) string { return p.escaped("4", text) }

func (p *printer) escaped(code, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
