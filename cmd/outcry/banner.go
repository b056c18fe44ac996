package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"
)

// The user that the banner lets try things.
const (
	guestUser = "guest"
	guestTTL  = 24 * time.Hour
	guestFile = "guest.jwt" // in the data folder
)

var guestRooms = []string{"lobby", "traders"}

// chatLine is what a shell makes a new message of each time, in the form that the page shows.
const chatLine = `'{"id":"'$(date +%s%N)'","from":"guest","text":"hello","at":'$(date +%s000)'}'`

// printBanner prints what a person needs next.
func (s *server) printBanner(addresses map[string]string) error {
	p := newPrinter(s.out)
	p.line("%s %s is ready.", p.bold("Outcry"), readVersion().Version)
	p.line("")
	guest, err := s.printGuest(p, addresses)
	if err != nil {
		return err
	}
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
		p.line("\n  %s anybody who can connect may do everything (--open).", p.bold("Open:"))
	}
	p.line("\nCtrl-C stops it.")
	return p.err
}

// printGuest prints what can be tried at once, as the user guest or, with --open, as anybody. A token is written for
// a person to read: to a terminal, or where the demo was asked for, but not into the log of a service.
func (s *server) printGuest(p *printer, addresses map[string]string) (shown bool, err error) {
	secret := secretPath(&s.config.Config) != ""
	if !secret || !s.flags.demo && !p.terminal && s.flags.open == 0 {
		s.printPage(p, addresses, "")
		return false, nil
	}
	token, err := newMint(&s.config.Config).token(guestUser, guestRooms, s.loginClaims(), guestTTL)
	if err != nil {
		return false, err
	}
	s.printPage(p, addresses, "#token="+token)
	path := filepath.Join(s.config.Data, guestFile)
	if err := writeFile(path, []byte(token+"\n"), 0o600); err != nil {
		// Such as on a full disk: a broker that is to go on must not end for want of something to try.
		s.log.Warn("the guest's token cannot be written", "error", err)
		return s.flags.open > 0, nil
	}
	if tcp := addresses["tcp"]; tcp != "" {
		client := s.clientFlags(tcp, path)
		p.item("listen", "mosquitto_sub %s -t 'ticker/#' -v", client)
		p.item("speak", "mosquitto_pub %s -t chat/lobby/say -m %s", client, chatLine)
	}
	return true, nil
}

func (s *server) printPage(p *printer, addresses map[string]string, fragment string) {
	if address := addresses["ws"]; address != "" && s.config.Listeners.WS.Pages {
		p.item("page", "%s", p.underlined("http://"+reachable(address)+"/"+fragment))
	} else if address := addresses["wss"]; address != "" && s.config.Listeners.WSS.Pages {
		p.item("page", "%s", p.underlined("https://"+reachable(address)+"/"+fragment))
	}
}

// clientFlags are those of mosquitto_pub and mosquitto_sub.
func (s *server) clientFlags(tcp, tokenFile string) string {
	host, port, _ := net.SplitHostPort(reachable(tcp))
	flags := "-h " + host + " -p " + port
	if s.flags.open > 0 {
		return flags
	}
	return flags + ` -u ` + guestUser + ` -P "$(cat ` + quote(tokenFile) + `)"`
}

// secretFlag is for outcry token, if it would not find the secret by itself.
func (s *server) secretFlag() string {
	if path := secretPath(&s.config.Config); path != filepath.Join("data", "secret") {
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

// reachable is where somebody on this machine finds an address that was bound: the unspecified one is all of them.
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

// quote quotes a word for a shell if it must be.
func quote(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// printer prints lines, with emphasis on a terminal.
type printer struct {
	w        io.Writer
	terminal bool
	colour   bool
	err      error // the first
}

func newPrinter(w io.Writer) *printer {
	p := &printer{w: w}
	if f, ok := w.(*os.File); ok {
		p.terminal = term.IsTerminal(int(f.Fd()))
	}
	p.colour = p.terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return p
}

func (p *printer) line(format string, args ...any) {
	if _, err := fmt.Fprintf(p.w, format+"\n", args...); p.err == nil {
		p.err = err
	}
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
