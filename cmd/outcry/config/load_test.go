package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

// load loads text as ./config.yaml.
func load(t *testing.T, text string, o config.Options) (*config.Loaded, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	o.File = "config.yaml"
	if err := os.WriteFile(o.File, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(o)
}

func TestEveryProblemIsToldWithItsPlace(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"unknown key with a suggestion", "listners:\n  tcp: {}\n", []string{
			"config.yaml:1:1: listners: unknown key; did you mean listeners?",
		}},
		{"unknown key without one", "log:\n  colour: red\n", []string{
			"config.yaml:2:3: log.colour: unknown key; known keys: level, format",
		}},
		{"several at once, in the order of the file", "" +
			"limits:\n" +
			"  max_packet: 64Kib\n" +
			"  connect_timeout: 10\n" +
			"  max_inflight: 0\n" +
			"log: {level: loud, format: text}\n" +
			"data:\n", []string{
			`config.yaml:2:15: limits.max_packet: "64Kib" is not a size; write bytes, such as 65536, 64KiB or 1MiB, at least 256, or none (no limit)`,
			`config.yaml:3:20: limits.connect_timeout: "10" is not a time; write a time, such as 500ms, 10s, 5m, 2h or 7d, at least 100ms, or none (no limit)`,
			`config.yaml:4:17: limits.max_inflight: 0 is too small; write a number, at least 1, or none (no limit)`,
			`config.yaml:5:14: log.level: "loud" is not one of its values; write debug, info, warn or error`,
			`config.yaml:6:1: data: has no value; write "" for an empty one`,
		}},
		{"memory that is never reclaimed", "runtime:\n  memory_limit: none\n  gc_percent: none\n", []string{
			"config.yaml:3:15: runtime.gc_percent: without a memory limit the garbage collector would never run; write 100, or set runtime.memory_limit",
		}},
		{"memory that the program has not enough of", "runtime:\n  memory_limit: 1MiB\n  gc_percent: 5\n", []string{
			"config.yaml:2:17: runtime.memory_limit: is less than the program needs without clients; write 32MiB or more, or 0 for three quarters of the memory",
			"config.yaml:3:15: runtime.gc_percent: 5 is too small; write a number, at least 10, at most 1000000, or none (only at the memory limit)",
		}},
		{"times that no packet carries, and no number of ours", "limits:\n  server_keepalive: 19h\nruntime:\n  gc_percent: 2000000000\n", []string{
			"config.yaml:2:21: limits.server_keepalive: 19h is too large; write a time, such as 500ms, 10s, 5m, 2h or 7d, at least 1s, at most 18h, or none (the client's choice)",
			"config.yaml:4:15: runtime.gc_percent: 2000000000 is too large; write a number, at least 10, at most 1000000, or none (only at the memory limit)",
		}},
		{"wrong shapes", "listeners: [tcp]\nhttp:\n  address: {port: 1}\n  hosts: loopback\n", []string{
			"config.yaml:1:12: listeners: is a list, but must be a section with keys; write key: value",
			"config.yaml:3:12: http.address: is a section with keys, but must be a single value; write a text",
			"config.yaml:4:10: http.hosts: is a single value, but must be a list; write [a, b] or a line with - for each item",
		}},
		{"limits of rules", "rules:\n  - {access: allow, who: ['*'], topics: [t], max_qos: 3}\n  - {access: deny, who: ['*'], topics: [t], retain: false}\n" +
			"rooms:\n  - {topics: t, retain: maybe}\nclient_ids:\n  - {who: [ann], ids: ['a*b']}\n", []string{
			`config.yaml:2:55: rules[0].max_qos: "3" is not one of its values; write 0, 1 or 2`,
			`config.yaml:3:14: rules[1].access: a rule that denies has limits; remove max_qos, retain and max_rate, or write access: allow`,
			`config.yaml:5:25: rooms[0].retain: "maybe" is not one of its values; write true or false`,
			`config.yaml:7:12: client_ids[0].who[0]: "ann" matches no client; for the user ann write user:ann`,
			`config.yaml:7:24: client_ids[0].ids[0]: "a*b" has a * before its end; write * at the end only, where it matches any text`,
		}},
		{"a key twice", "data: a\ndata: b\n", []string{
			"config.yaml:2:1: data: is a duplicate key; remove one of the two",
		}},
		{"not YAML", "data: a\nlog: [\n", []string{
			"config.yaml:2:6: not YAML: sequence end token ']' not found",
		}},
		{"aliases", "data: &d x\nlog:\n  level: *d\n", []string{
			"config.yaml:1:7: data: anchors, aliases and tags are not supported; write the value out",
			"config.yaml:3:10: log.level: anchors, aliases and tags are not supported; write the value out",
		}},
		{"a second document", "data: a\n---\ndata: b\n", []string{
			"config.yaml:3:1: the file has a second document; keep one",
		}},
		{"addresses", "listeners:\n  tcp:\n    address: 1883\n  ws: {address: \"127.0.0.1:http\"}\nhttp: {address: \"127.0.0.1:99999\"}\n", []string{
			`config.yaml:3:14: listeners.tcp.address: "1883" is not an address; write host:port, such as 127.0.0.1:1883, or :1883 for all interfaces`,
			`config.yaml:4:17: listeners.ws.address: "http" is not a port; write 1 to 65535, or 0 for a free one`,
			`config.yaml:5:17: http.address: "99999" is not a port; write 1 to 65535, or 0 for a free one`,
		}},
		{"one address twice", "http: {address: 127.0.0.1:1883}\n", []string{
			"config.yaml:1:17: http.address: 127.0.0.1:1883 is also the address of listeners.tcp.address; change one of the two",
		}},
		{"tokens", "" +
			"auth:\n" +
			"  jwt:\n" +
			"    from: [password, query]\n" +
			"    cookie: 'a b'\n" +
			"    cache: 0\n" +
			"    keys: [{alg: RS256}]\n" +
			"    issuer: https://us.example\n" +
			"    issuers:\n" +
			"      - jwks_url: http://id.example/keys\n" +
			"      - {issuer: https://us.example, jwks_file: keys.json}\n" +
			"      - {issuer: a, keys: [{kid: k}], jwks_url: 'https://u:secret@id.example'}\n" +
			"      - {issuer: a, refresh: 1s, allow_http: true, jwks_url: http://id.example/keys}\n" +
			"      - {issuer: b}\n", []string{
			`config.yaml:3:22: auth.jwt.from[1]: "query" is not one of its values; write any of password, username, bearer, cookie`,
			`config.yaml:4:13: auth.jwt.cookie: "a b" is not the name of a cookie; write one such as outcry_token`,
			`config.yaml:5:12: auth.jwt.cache: 0 is too small; write a number, at least 1, or none (no cache)`,
			`config.yaml:6:12: auth.jwt.keys[0].file: is missing; write the name of a PEM file with a public key`,
			`config.yaml:9:9: auth.jwt.issuers[0].issuer: is missing; write the exact claim iss of its tokens`,
			`config.yaml:9:19: auth.jwt.issuers[0].jwks_url: uses http, so a man in the middle could forge tokens; use https`,
			`config.yaml:10:18: auth.jwt.issuers[1].issuer: is the same as auth.jwt.issuer; put all its keys into one`,
			`config.yaml:11:28: auth.jwt.issuers[2].keys[0].file: is missing; write the name of a PEM file with a public key`,
			`config.yaml:11:49: auth.jwt.issuers[2].jwks_url: has a user name or password; remove it, as a key set is public`,
			`config.yaml:12:18: auth.jwt.issuers[3].issuer: is the same as auth.jwt.issuers[2].issuer; put all its keys into one`,
			`config.yaml:12:30: auth.jwt.issuers[3].refresh: 1s is too small; write a time, such as 500ms, 10s, 5m, 2h or 7d, at least 1m`,
			`config.yaml:13:9: auth.jwt.issuers[4]: has no keys; set jwks_url, jwks_file or keys`,
		}},
		{"cookies of all pages", "auth: {jwt: {from: [cookie]}}\nlisteners: {ws: {origins: ['*']}}\n", []string{
			"config.yaml:1:21: auth.jwt.from[0]: with the origin *, any page on the web could connect as its visitor with the visitor's cookie; name the pages in listeners.ws.origins",
		}},
		{"tokens from nowhere", "auth: {jwt: {from: []}}\n", []string{
			"config.yaml:1:20: auth.jwt.from: is empty, so no token would be found; write [password, bearer]",
		}},
		{"TLS without files", "listeners:\n  tls:\n    address: :8883\n    certificate: {clients: require}\n", []string{
			"config.yaml:3:14: listeners.tls.address: has no certificate; set listeners.tls.certificate.file to a PEM file",
			"config.yaml:3:14: listeners.tls.address: has no key for its certificate; set listeners.tls.certificate.key to a PEM file",
			"config.yaml:4:28: listeners.tls.certificate.clients: client certificates are requested without an authority for them; set listeners.tls.certificate.client_ca to a PEM file",
		}},
		{"limits per address", "limits:\n  address_prefix_v4: 33\n  failed_login_wait: 5m\n  exempt: [loopback, here]\n", []string{
			`config.yaml:2:3: limits.failed_login_max_wait: is less than failed_login_wait; write a longer time`,
			`config.yaml:2:22: limits.address_prefix_v4: an IPv4 address has 32 bits; write 32, or less for networks`,
			`config.yaml:4:22: limits.exempt[1]: "here" is not a network; write loopback, an address or a network, such as 192.0.2.1 or 10.0.0.0/8`,
		}},
		{"proxies", "listeners:\n  tcp: {proxy_protocol: [10.0.0.0/8, proxy.example]}\n  ws:\n    forwarded: ['::1', 'fe80::1%eth0', '::ffff:1.2.3.4/120', 1.2.3.4/33]\n    forwarded_header: X-Real-IP\n", []string{
			`config.yaml:2:38: listeners.tcp.proxy_protocol[1]: "proxy.example" is not a network; write an address or a network, such as 192.0.2.1 or 10.0.0.0/8`,
			`config.yaml:4:24: listeners.ws.forwarded[1]: "fe80::1%eth0" is not a network; write an address or a network, such as 192.0.2.1 or 10.0.0.0/8`,
			`config.yaml:4:40: listeners.ws.forwarded[2]: "::ffff:1.2.3.4/120" is not a network; write an address or a network, such as 192.0.2.1 or 10.0.0.0/8`,
			`config.yaml:4:62: listeners.ws.forwarded[3]: "1.2.3.4/33" is not a network; write an address or a network, such as 192.0.2.1 or 10.0.0.0/8`,
			`config.yaml:5:23: listeners.ws.forwarded_header: "X-Real-IP" is not one of its values; write X-Forwarded-For or Forwarded`,
		}},
		{"certificates of an authority", "listeners:\n  acme:\n    names: [mqtt.example.org, '*.example.org', localhost]\n    directory: http://ca.example/\n", []string{
			"config.yaml:3:5: listeners.acme.accept_terms: the authority's terms of service are not accepted; read them and write true",
			"config.yaml:3:12: listeners.acme.names: no listener would use the certificates; set listeners.tls.address or listeners.wss.address",
			`config.yaml:3:31: listeners.acme.names[1]: "*.example.org" is not a name for a certificate; write one such as mqtt.example.org, without wildcards and in ASCII`,
			`config.yaml:3:48: listeners.acme.names[2]: "localhost" is not a name for a certificate; write one such as mqtt.example.org, without wildcards and in ASCII`,
			`config.yaml:4:16: listeners.acme.directory: "http://ca.example/" is not the URL of a directory; write one such as https://acme-v02.api.letsencrypt.org/directory`,
		}},
		{"certificates for more names", "listeners:\n  tls:\n    address: :8883\n    certificates: [{file: a.pem, key: a.key}, {file: b.pem}]\n", []string{
			"config.yaml:4:47: listeners.tls.certificates[1]: has no file or no key; write {file: cert.pem, key: key.pem}",
		}},
		{"identities by certificates that nobody asks for", "auth: {client_certificate: dns}\n", []string{
			"config.yaml:1:28: auth.client_certificate: no listener asks clients for a certificate; set listeners.tls.certificate.clients or listeners.wss.certificate.clients to request or require",
		}},
		{"nobody could connect", "auth:\n  jwt:\n    secret_file: none\nlisteners: {tcp: {address: \"\"}, ws: {address: \"\"}}\n", []string{
			"config.yaml:3:18: auth.jwt.secret_file: no client could connect without a secret, keys, issuers, a password file, client certificates or anonymous clients; leave it empty: the broker then makes a secret in the data folder",
			"config.yaml:4:12: listeners: no listener has an address, so no client could connect; set listeners.tcp.address, such as 127.0.0.1:1883",
		}},
		{"a mode and a number", "listeners: {unix: {mode: 9}}\ndemo: {ticker: {rate: fast}}\n", []string{
			`config.yaml:1:26: listeners.unix.mode: "9" is not a file mode; write octal digits in quotes, such as "0660"`,
			`config.yaml:2:23: demo.ticker.rate: "fast" is not a number; write a number, at least 0.1`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.text, config.Options{})
			compare(t, err, tt.want)
		})
	}
}

func compare(t *testing.T, err error, want []string) {
	t.Helper()
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error %v, want problems", err)
	}
	if got := strings.Split(problems.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The hook's own tests cover the refusals; this one covers their positions.
func TestProblemsOfRulesAreToldWithTheirPlace(t *testing.T) {
	_, err := load(t, ""+
		"rules:\n"+
		"  - access: allow\n"+
		"    who: [everyone]\n"+
		"    topics:\n"+
		"      - a/#/b\n"+
		"  - topics: [x]\n"+
		"    who: ['*']\n"+
		"rooms:\n"+
		"  - topics: chat/{room}/#\n"+
		"    join: [nobody]\n"+
		"    queue: newest\n", config.Options{})
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error %v, want problems", err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.Position.String()+" "+p.Path)
	}
	want := []string{
		"config.yaml:3:11 rules[0].who[0]",
		"config.yaml:5:9 rules[0].topics[0]",
		"config.yaml:6:5 rules[1].access",
		"config.yaml:10:12 rooms[0].join[0]",
		"config.yaml:11:12 rooms[0].queue",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q\n%v", got, want, problems)
	}
}

func TestWhatStandsLaterWins(t *testing.T) {
	text := "log: {level: warn}\nlimits: {max_packet: 1MiB}\ndata: file\n"
	got, err := load(t, text, config.Options{
		Environ: []string{"OUTCRY_DATA=environment", "OUTCRY_LIMITS_MAX_PACKET=2KiB", "PATH=/", "OUTCRY_HTTP_HOSTS=a, b"},
		Sets: []config.Set{
			{Source: "--set", Path: "limits.max_packet", Value: "none"},
			{Source: "--set", Path: "listeners.ws.origins", Value: "['https://a.example', self]"},
			{Source: "--set", Path: "rooms", Value: "[{topics: 'a/{b}', join: ['*'], speak: ['*']}]"},
			{Source: "--data", Path: "data", Value: "a: flag # with, anything"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Log.Level != "warn" || got.Limits.MaxPacketBytes != -1 || got.Data != "a: flag # with, anything" {
		t.Errorf("level %q, packet %v, data %q", got.Log.Level, got.Limits.MaxPacketBytes, got.Data)
	}
	if !slices.Equal(got.HTTP.Hosts, []string{"a", "b"}) || !slices.Equal(got.Listeners.WS.Origins, []string{"https://a.example", "self"}) {
		t.Errorf("hosts %q, origins %q", got.HTTP.Hosts, got.Listeners.WS.Origins)
	}
	if len(got.Rooms) != 1 || got.Rooms[0].Topics != "a/{b}" {
		t.Errorf("rooms %+v", got.Rooms)
	}
	for path, want := range map[string]string{
		"log.level": "config.yaml:1:14", "data": "--data", "http.hosts": "OUTCRY_HTTP_HOSTS", "demo.machine": "config.yaml",
		"rooms[0].join": "--set",
	} {
		if at := got.Where(path).String(); at != want {
			t.Errorf("%s comes from %s, want %s", path, at, want)
		}
	}
}

func TestProblemsOutsideOfTheFile(t *testing.T) {
	_, err := load(t, "{}", config.Options{
		Environ: []string{"OUTCRY_LOG_LEVEL=loud"},
		Sets: []config.Set{
			{Source: "--set", Path: "log.levle", Value: "debug"},
			{Source: "--set", Path: "data.folder", Value: "x"},
			{Source: "--set", Path: "listeners.ws.origins", Value: "[a"},
			{Source: "--tcp", Path: "listeners.tcp.address", Value: "nowhere"},
		},
	})
	compare(t, err, []string{
		"--set: log.levle: unknown key; did you mean level?",
		"--set: data.folder: data has no keys; set data as a whole",
		"--set: listeners.ws.origins: not YAML: sequence end token ']' not found",
		`--tcp: listeners.tcp.address: "nowhere" is not an address; write host:port, such as 127.0.0.1:1883, or :1883 for all interfaces`,
		`OUTCRY_LOG_LEVEL: log.level: "loud" is not one of its values; write debug, info, warn or error`,
	})
}

func TestParseSet(t *testing.T) {
	got, err := config.ParseSet("--set", "auth.jwt.issuer=https://a/?b=c")
	if err != nil || got.Path != "auth.jwt.issuer" || got.Value != "https://a/?b=c" {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, text := range []string{"", "=", "=x", "log.level"} {
		if _, err := config.ParseSet("--set", text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestMissingFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "none.yaml")
	_, err := config.Load(config.Options{File: file})
	compare(t, err, []string{file + ": cannot be read: no such file or directory; give another file with --config, or omit it for the defaults"})
}

func TestEmptyFilesAreTheDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "{}", "log:\nlisteners:\n  tcp:\n", "\ufefflog: {}\n", "log: {}\r\n"} {
		got, err := load(t, text, config.Options{})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if diff := config.Changed(got.Config, config.Default()); len(diff) > 0 {
			t.Errorf("%q changes %v", text, diff)
		}
	}
}

func TestWarnings(t *testing.T) {
	got, err := load(t, "listeners:\n  tcp:\n    address: 0.0.0.0:1883\n  ws: {address: 'localhost:80'}\n", config.Options{
		Environ: []string{"OUTCRY_LOGLEVEL=debug", "OUTCRY_TOKEN=secret", "OUTCRY_SERVICE_HOST=10.0.0.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "OUTCRY_LOGLEVEL: is not a key of the configuration; did you mean OUTCRY_LOG_LEVEL?\n" +
		"config.yaml:3:14: listeners.tcp.address: 0.0.0.0:1883 is open to other machines, and passwords and tokens " +
		"are not encrypted; use listeners.tls.address, or a proxy that terminates TLS"
	if text := got.Warnings.Error(); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

func TestLimitsReachTheBroker(t *testing.T) {
	got, err := load(t, "limits: {max_connections: 5, connect_timeout: none, max_parked: 2MiB, max_session_expiry: 2d}\n", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := got.Limits.Broker()
	if l.MaxConnections != 5 || l.ConnectTimeout >= 0 || l.MaxParkedBytes != 2<<20 || l.MaxSessionExpiry != 48*time.Hour || l.ServerKeepAlive != 0 {
		t.Errorf("got %+v", l)
	}
}

func TestRulesAsTheHookTakesThem(t *testing.T) {
	c, err := load(t, `
rules:
  - {access: allow, who: ["*"], topics: [t], max_qos: 1, retain: false}
  - {access: allow, who: ["*"], topics: [u], max_qos: 0, retain: true}
  - {access: deny, who: ["*"], topics: [v]}
rooms:
  - {topics: news/#, join: ["*"], max_qos: 2, retain: false, queue: conflate, max_rate: 0.5}
client_ids:
  - {who: ["*", anonymous], ids: ["{user}-*"]}
`, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := rules.Options{
		ACLClaim: "acl",
		Rules: []rules.Rule{
			{Allow: true, Who: []string{"*"}, Topics: []string{"t"}, MaxQoS: new(byte(1)), NoRetain: true},
			{Allow: true, Who: []string{"*"}, Topics: []string{"u"}, MaxQoS: new(byte(0))},
			{Who: []string{"*"}, Topics: []string{"v"}},
		},
		Rooms:     []rules.Room{{Topics: "news/#", Join: []string{"*"}, MaxQoS: new(byte(2)), NoRetain: true, Queue: broker.Conflate, MaxRate: 0.5}},
		ClientIDs: []rules.ClientID{{Who: []string{"*", "anonymous"}, IDs: []string{"{user}-*"}}},
	}
	if got := c.RuleOptions(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestWarningOfAnIssuerWithoutAudience(t *testing.T) {
	got, err := load(t, "auth:\n  jwt:\n    issuers:\n      - {issuer: a, jwks_file: keys.json}\n", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := "config.yaml:4:9: auth.jwt.issuers[0]: has no audience, so tokens for other services are accepted too; " +
		"set audience to the claim aud of your tokens"
	if text := got.Warnings.Error(); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

// FuzzLoad checks that Load accepts every file or returns problems.
func FuzzLoad(f *testing.F) {
	addCorpus(f)
	whole, err := os.ReadFile(shipped)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(whole), "rules: [{access: allow, claims: {a: b}}]", "a: &x [*x]", "? {a: b}\n: c", "<<: {data: x}", "1: 2", "!!map {}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		loaded, err := config.Load(config.Options{File: file})
		if (loaded == nil) != (err != nil) {
			t.Errorf("Load returns %v and %v", loaded, err)
		}
	})
}
