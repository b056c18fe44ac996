package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

func TestSlowestIsAskedForSome(t *testing.T) {
	asked := 0
	h := slowestHandler(func(_ context.Context, n int) ([]broker.SlowClient, error) {
		if asked = n; n == 13 {
			return nil, errors.New("the shards have not answered")
		}
		return nil, nil
	})
	for _, tt := range []struct {
		query  string
		status int
		asked  int
		body   string
	}{
		{"", 200, 20, `{"clients":[]}`},
		{"?limit=1", 200, 1, `{"clients":[]}`},
		{"?limit=1000", 200, 1000, `{"clients":[]}`},
		{"?limit=0", 400, 0, "want a number from 1 to 1000"},
		{"?limit=1001", 400, 0, "want a number from 1 to 1000"},
		{"?limit=%3Cscript%3E", 400, 0, "want a number"},
		{"?limit=13", 503, 13, "have not answered"},
	} {
		asked = 0
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/clients/slowest"+tt.query, nil))
		if w.Code != tt.status || asked != tt.asked || !strings.Contains(w.Body.String(), tt.body) {
			t.Errorf("%s: status %d, asked for %d, %s", tt.query, w.Code, asked, w.Body)
		}
	}
}

// A client that does not read is listed, with its lost messages.
func TestSlowestNamesWhoDoesNotRead(t *testing.T) {
	p := outcrytest.StartServe(t, t.TempDir())
	_, token, _ := outcrytest.Call(t, "", "token", "--user", "ticker", "--secret-file", p.Cmd.Dir+"/data/secret")
	token = strings.TrimSpace(token)
	connect := func(id string) net.Conn {
		c, err := net.Dial("tcp", p.Addresses["tcp"])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		user := "ticker"
		write(t, c, raw.Connect{Version: raw.V311, ID: id, Clean: true, User: &user, Password: &token}.Bytes())
		return c
	}
	dashboard := connect("dash<1>")
	write(t, dashboard, raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "ticker/#"}}}.Bytes(raw.V311))
	answer := make([]byte, 4+5) // CONNACK and SUBACK
	if _, err := io.ReadFull(dashboard, answer); err != nil {
		t.Fatal(err)
	}
	exchange := connect("exchange")
	payload := strings.Repeat("x", 2000) // all topics fit into a quarter of limits.max_parked, even if the socket takes nothing
	for end := time.Now().Add(outcrytest.WaitLimit); ; {
		for i := range 100 {
			write(t, exchange, raw.Publish{Topic: fmt.Sprint("ticker/", i), Payload: payload}.Bytes(raw.V311))
		}
		var got struct{ Clients []slowClient }
		if err := json.Unmarshal([]byte(outcrytest.Fetch(t, p.Addresses["http"], "/clients/slowest?limit=5")), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Clients) == 1 && got.Clients[0].Lost["conflated"] > 0 {
			x := got.Clients[0]
			if x.Client != "dash<1>" || x.User != "ticker" || x.Address != dashboard.LocalAddr().String() || x.Listener != "tcp" ||
				x.Bytes < 2000 || x.Waiting == 0 || x.Waiting > 100 || x.ParkedSince.IsZero() || x.LastWrite.IsZero() {
				t.Errorf("%+v", x)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody lost anything: %+v", got)
		}
	}
}

// Only requests with the token get client names.
func TestSlowestIsTheOperators(t *testing.T) {
	dir := t.TempDir()
	file := dir + "/operator.token"
	if err := os.WriteFile(file, []byte(strings.Repeat("token", 8)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := outcrytest.StartServe(t, dir, "--set", "http.token_file="+file)
	for token, status := range map[string]int{"": 401, "wrong": 401, strings.Repeat("token", 8): 200} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+p.Addresses["http"]+"/clients/slowest", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != status {
			t.Errorf("token %q: status %d, want %d", token, response.StatusCode, status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func write(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}
