package server

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// secrets are texts that must not be logged. Each is searched for by its beginning, to find parts of it, too.
type secrets struct{ text, of []string }

// maxRevealed is the number of a secret's characters that may be logged.
const maxRevealed = 12

// add adds a secret.
func (s *secrets) add(of, text string) string {
	s.text, s.of = append(s.text, text[:min(len(text), maxRevealed)]), append(s.of, of)
	return text
}

// generate creates a secret, and also searches for its forms in JSON and dumps.
func (s *secrets) generate(of string) string {
	text := rand.Text()
	s.add(of, text)
	s.add(of+" in hex", hex.EncodeToString([]byte(text)))
	s.add(of+" in base64", base64.StdEncoding.EncodeToString([]byte(text)))
	return text
}

// token adds the claims and the signature of a token; its header is not secret.
func (s *secrets) token(of, text string) string {
	parts := strings.Split(text, ".")
	s.add("the claims of "+of, parts[1][len(parts[1])-maxRevealed:]) // they begin alike
	s.add("the signature of "+of, parts[2])
	return text
}

// check searches a text for all secrets.
func (s *secrets) check(t *testing.T, where, text string) {
	t.Helper()
	for i, secret := range s.text {
		if at := strings.Index(text, secret); at >= 0 {
			line := text[strings.LastIndexByte(text[:at], '\n')+1:]
			line, _, _ = strings.Cut(line, "\n")
			t.Errorf("%s tells of %s: %s", where, s.of[i], line)
		}
	}
}

// secretTraffic is a set of clients with valid and invalid behaviour, with secrets in all their packets.
type secretTraffic struct {
	t *testing.T
	*secrets
	p                             *outcrytest.Process
	good, expired, forged, nobody string // tokens
}

// A run at the level debug logs no password, token or payload, nor the content of key files.
func TestNothingSecretIsLogged(t *testing.T) {
	dir, s := t.TempDir(), &secrets{}
	writeFiles(t, dir, s)
	p := outcrytest.StartServe(t, dir)
	n := &secretTraffic{t: t, secrets: s, p: p}
	n.mintTokens(filepath.Join(dir, "data", "secret"))
	n.logins()
	n.messages()
	n.malformed()
	n.upgrades()
	n.operator()
	n.reloads(dir)
	p.Stop()
	s.check(t, "standard output", p.Stdout.String())
	log := p.Stderr.String()
	s.check(t, "the log", log)
	for _, told := range []string{`msg="client refused"`, `msg="protocol violation"`, `msg="reload refused, the old one stays in use"`} {
		if !strings.Contains(log, told) {
			t.Errorf("the run was not noisy: no %s in\n%s", told, log)
		}
	}
}

func writeFiles(t *testing.T, dir string, s *secrets) {
	t.Helper()
	users := filepath.Join(dir, "users")
	if status, _, stderr := outcrytest.Call(t, s.generate("bob's password")+"\n", "passwd", users, "bob", "--stdin"); status != 0 {
		t.Fatal(stderr)
	}
	hash, err := os.ReadFile(users)
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(strings.TrimSpace(string(hash)), "$") {
		if len(part) > 20 {
			s.add("bob's hash", part)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "ops"), []byte(s.generate("the operator's token")+s.generate("its end")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	outcrytest.WriteConfig(t, dir, `log: {level: debug}
auth:
  password_file: users
  jwt: {from: [password, username, bearer, cookie], cookie: session}
http: {token_file: ops}
rules:
  - {access: allow, who: ["*"], topics: ["open/#"]}
`)
}

func (n *secretTraffic) mintTokens(file string) {
	found, err := jwt.SecretFile{Path: file}.Keys()
	if err != nil {
		n.t.Fatal(err)
	}
	key := found[0].Value.([]byte)
	n.add("the signing secret", string(key))
	n.add("the signing secret in base64", base64.StdEncoding.EncodeToString(key))
	n.add("the signing secret in hex", hex.EncodeToString(key))
	mint := func(of string, key []byte, claims gojwt.MapClaims) string {
		text, err := gojwt.NewWithClaims(gojwt.SigningMethodHS256, claims).SignedString(key)
		if err != nil {
			n.t.Fatal(err)
		}
		return n.token(of, text)
	}
	later, before := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
	n.good = mint("the good token", key, gojwt.MapClaims{"sub": "ann", "exp": later, "note": n.generate("a claim")})
	n.expired = mint("the expired token", key, gojwt.MapClaims{"exp": before, "sub": "ann"})
	n.forged = mint("the forged token", []byte(rand.Text()), gojwt.MapClaims{"sub": "root", "exp": later})
	n.nobody = mint("the token of nobody", key, gojwt.MapClaims{"aud": "x", "exp": later})
}

func (n *secretTraffic) dial(listener string) net.Conn {
	n.t.Helper()
	conn, err := net.Dial("tcp", n.p.Addresses[listener])
	if err != nil {
		n.t.Fatal(err)
	}
	return conn
}

func (n *secretTraffic) login(version byte, user, password string) *raw.Client {
	n.t.Helper()
	c := raw.New(n.t, n.dial("tcp"), version)
	k := raw.Connect{Version: version, ID: "c", Clean: true, User: &user, Password: &password}
	k.Will = &raw.Will{Topic: "open/will", Payload: n.generate("a will"), QoS: 1, Retain: true}
	c.SendConnect(k)
	return c
}

// logins sends right and wrong credentials in every place.
func (n *secretTraffic) logins() {
	for _, version := range []byte{raw.V5, raw.V311} {
		for _, l := range []struct {
			user, password string
			ok             bool
		}{
			{"ann", n.good, true}, {"ann", n.expired, false}, {"ann", n.forged, false}, {"ann", n.nobody, false},
			{"ann", n.good[:len(n.good)-5], false}, {"ann", n.good + "." + n.generate("a token's end"), false},
			{n.good, "", true}, {n.expired, "", false}, {n.forged, n.generate("a password beside a token"), false}, {n.nobody, "", false},
			{"bob", n.generate("a wrong password"), false}, {"carol", n.generate("a stranger's password"), false},
			{"", n.generate("nobody's password"), false},
		} {
			c := n.login(version, l.user, l.password)
			if got := c.Expect(raw.CONNACK); (got.Code == 0) != l.ok {
				n.t.Errorf("a login: %v, want accepted %v", got, l.ok)
			}
			c.Close()
		}
	}
	c := raw.New(n.t, n.dial("tcp"), raw.V5)
	c.SendConnect(raw.Connect{Version: raw.V5, ID: "c", Props: raw.Props{
		raw.Txt(raw.AuthMethod, "SCRAM-SHA-1"), raw.Txt(raw.AuthData, n.generate("authentication data")),
	}})
	c.ExpectRefused(0x8C)
}

// messages publishes payloads and properties, on allowed and denied topics.
func (n *secretTraffic) messages() {
	for _, version := range []byte{raw.V5, raw.V311} {
		c := n.login(version, "", n.good)
		c.Expect(raw.CONNACK)
		for qos := range byte(3) {
			for _, topic := range []string{"open/a", "shut/a", "$SYS/a"} {
				m := raw.Publish{Topic: topic, Payload: n.generate("a payload"), QoS: qos, Retain: true}
				if version == raw.V5 {
					m.Props = raw.Props{raw.Txt(raw.CorrelationData, n.generate("correlation data")), raw.Txt(raw.ContentType, n.generate("a content type"))}
				}
				c.Publish(m)
			}
		}
		c.Subscribe(0, "open/none", "shut/#")
		c.Send(raw.Publish{Topic: "open/a/#", Payload: n.generate("a payload on a filter")}.Bytes(version))
		c.ExpectEnd(0x90)
	}
}

// malformed sends packets that are cut, or continue, within secrets.
func (n *secretTraffic) malformed() {
	user, password := "ann", n.generate("a password in a malformed packet")
	for _, version := range []byte{raw.V5, raw.V311} {
		hello := raw.Connect{Version: version, ID: "c", Clean: true, User: &user, Password: &password,
			Will: &raw.Will{Topic: "open/\xff" + n.generate("a malformed topic"), Payload: n.generate("a malformed will")}}.Bytes()
		whole := raw.Connect{Version: version, ID: "c", User: &user, Password: &password}.Bytes()
		for _, packet := range [][]byte{
			hello,
			append([]byte{whole[0], whole[1] + 4}, append(bytes.Clone(whole[2:]), "tail"...)...),
			[]byte("GET /" + n.generate("a request for a page") + " HTTP/1.1\r\nCookie: " + n.generate("a cookie") + "\r\n\r\n"),
			raw.Packet(raw.PUBLISH.Header(), raw.Str("open/a"), []byte(n.generate("a payload before CONNECT"))),
		} {
			n.throw(n.dial("tcp"), packet)
		}
		for _, packet := range [][]byte{
			raw.Packet(raw.PUBLISH.Header(), raw.Str("open/\x00"+n.generate("a topic with NUL")), []byte(n.generate("a payload behind it"))),
			raw.Packet(raw.PUBLISH.Header()|6, raw.Str("open/a"), []byte(n.generate("a payload of QoS 3"))),
			raw.Packet(raw.PUBLISH.Header(), raw.U16(60000), []byte(n.generate("a topic that breaks off"))),
			raw.Packet(raw.SUBSCRIBE.Header(), raw.U16(1), []byte{0}, raw.Str("\xff"+n.generate("a filter")), []byte{0}),
			raw.Packet(raw.AUTH.Header(), []byte{0x18}, []byte(n.generate("malformed authentication"))),
			raw.Packet(raw.DISCONNECT.Header(), []byte{0x04}, []byte(n.generate("last words"))),
			raw.Packet(raw.CONNECT.Header(), whole[2:]),
		} {
			c := n.login(version, "", n.good)
			c.Expect(raw.CONNACK)
			c.Send(packet)
			for _, err := c.Read(); err == nil; _, err = c.Read() {
			}
		}
	}
}

// throw sends bytes, and waits until the server closes the connection.
func (n *secretTraffic) throw(conn net.Conn, packet []byte) {
	n.t.Helper()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(outcrytest.WaitLimit))
	if _, err := conn.Write(packet); err != nil {
		return // it was closed during the write
	}
	_, err := io.Copy(io.Discard, conn)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		n.t.Error("the server did not hang up")
	}
}

// upgrades opens WebSockets with tokens in their headers, and sends invalid requests.
func (n *secretTraffic) upgrades() {
	handshake := "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n" +
		"Sec-WebSocket-Protocol: mqtt\r\n"
	basic := base64.StdEncoding.EncodeToString([]byte("ann:" + n.generate("a password of HTTP")))
	n.add("a password of HTTP in its header", basic)
	for _, headers := range []string{
		"Authorization: Bearer " + n.good, "Authorization: Bearer " + n.expired, "Authorization: Bearer " + n.forged,
		"Authorization: Bearer " + n.generate("a bearer that is no token"), "Authorization: Basic " + basic,
		"Cookie: session=" + n.expired, "Cookie: session=" + n.good + "; other=" + n.generate("another cookie"),
		"Cookie: session=" + n.generate("a cookie that is no token"),
	} {
		conn := n.upgrade("/mqtt?token="+n.generate("a token in the query"), handshake+headers)
		c := raw.New(n.t, raw.NewFrames(conn), raw.V5)
		c.SendConnect(raw.Connect{Version: raw.V5, ID: "w", Clean: true})
		c.Expect(raw.CONNACK)
		n.throw(conn, []byte(n.generate("what is no frame")+n.generate("what is no frame")))
	}
	for _, request := range []string{
		"GET /mqtt HTTP/1.1\r\nHost: " + n.p.Addresses["ws"] + "\r\nOrigin: https://evil.example\r\nAuthorization: Bearer " + n.good + "\r\n" +
			strings.Replace(handshake, "Connection: Upgrade", "Connection: Upgrade, close", 1) + "\r\n",
		"GET /mqtt HTTP/1.1\r\nHost: x\r\nCookie: session=" + n.generate("a cookie of no upgrade") + "\r\nConnection: close\r\n\r\n",
		"GET /" + n.generate("a path") + "?password=" + n.generate("a query") + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /mqtt HTTP/1.1\r\nHost: x\r\nAuthorization " + n.generate("a malformed header") + "\r\n\r\n",
		n.generate("what is no request") + "\r\n\r\n",
	} {
		n.throw(n.dial("ws"), []byte(request))
	}
}

// upgrade opens a WebSocket.
func (n *secretTraffic) upgrade(path, headers string) net.Conn {
	n.t.Helper()
	conn := n.dial("ws")
	_ = conn.SetDeadline(time.Now().Add(outcrytest.WaitLimit))
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+n.p.Addresses["ws"]+"\r\n"+headers+"\r\n\r\n"); err != nil {
		n.t.Fatal(err)
	}
	var answer []byte
	for one := make([]byte, 1); !bytes.HasSuffix(answer, []byte("\r\n\r\n")); answer = append(answer, one[0]) {
		if _, err := conn.Read(one); err != nil {
			n.t.Fatalf("%v behind %q", err, answer)
		}
	}
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 101 ")) {
		n.t.Fatalf("not upgraded: %q", answer)
	}
	return conn
}

// operator sends valid and invalid requests to the operator's HTTP.
func (n *secretTraffic) operator() {
	ops, err := os.ReadFile(filepath.Join(n.p.Cmd.Dir, "ops"))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, bearer := range []string{strings.TrimSpace(string(ops)), n.generate("a wrong token of the operator"), n.good} {
		n.throw(n.dial("http"), []byte("GET /metrics?q="+n.generate("a query to the operator")+" HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "+
			bearer+"\r\nConnection: close\r\n\r\n"))
	}
}

// reloads reloads files with mistakes beside secrets.
func (n *secretTraffic) reloads(dir string) {
	write := func(name, text string) {
		n.t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			n.t.Fatal(err)
		}
		after := n.p.Stderr.After()
		n.p.Signal(syscall.SIGHUP)
		n.p.WaitFor(n.p.Stderr, after, "reload refused, the old one stays in use")
	}
	write("users", "carol:"+n.generate("a password that is not hashed")+"\n")
	write("users", "carol:$2y$99$"+n.generate("a hash that is broken")+"\n")
	write("users", "carol "+n.generate("a line without a colon")+"\n")
	write(filepath.Join("data", "secret"), n.generate("a secret that is too short")[:maxRevealed])
	write("config.yaml", "auth:\n  jwt:\n    secret: "+n.generate("a secret under an unknown key")+"\n")
	write("config.yaml", "auth: {jwt: {secret_file: [\""+n.generate("a secret in a wrong shape")+"\"]}}\n")
	write("config.yaml", "auth: {jwt: {leeway: {secret: "+n.generate("a secret in a wrong place")+"}}}\n")
}
