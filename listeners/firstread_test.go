package listeners_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/listeners"
)

// requestWith adds lines to the header of upgradeRequest.
func requestWith(lines string) string {
	return strings.Replace(upgradeRequest, "Host: x\r\n", "Host: x\r\n"+lines, 1)
}

// answerTo reads the next answer; an upgrade's has no body.
func answerTo(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, answer.Body)
	return answer
}

// TestUpgradeInAnyShape opens WebSockets by requests that are upgraded at once, and by others that net/http reads.
func TestUpgradeInAnyShape(t *testing.T) {
	const page = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, requests := range map[string][]string{
		"at once":          {upgradeRequest},
		"with an escape":   {strings.Replace(upgradeRequest, "/mqtt", "/m%71tt?a=b", 1)},
		"after a page":     {page, upgradeRequest},
		"a continued line": {requestWith("X-Long: a\r\n b\r\n")},
		"not ASCII":        {requestWith("X-Name: \xc3\xa9\r\n")},
		"long":             {requestWith("Cookie: " + strings.Repeat("c", 8<<10) + "\r\n")},
	} {
		t.Run(name, func(t *testing.T) {
			to := newTestAttacher()
			c := dial(t, listenWS(t, listeners.WebSocketOptions{Attacher: to}))
			for i, request := range requests {
				answer := answerTo(t, send(t, c, request))
				if last := i == len(requests)-1; last != (answer.StatusCode == http.StatusSwitchingProtocols) {
					t.Fatalf("request %d is answered with %s", i, answer.Status)
				}
			}
			link := to.next(t)
			if link.Remote != c.LocalAddr().String() || !link.Framed {
				t.Errorf("link is %+v", link)
			}
			wantTalk(t, c, link.Conn)
		})
	}
}

// TestUpgradeRefusedInAnyShape sends almost valid WebSocket requests, which net/http answers.
func TestUpgradeRefusedInAnyShape(t *testing.T) {
	for name, test := range map[string]struct {
		request string
		want    int // 0: no answer
	}{
		"two hosts":       {requestWith("host: y\r\n"), http.StatusBadRequest},
		"odd host":        {strings.Replace(upgradeRequest, "Host: x", "Host: x y", 1), http.StatusBadRequest},
		"odd header":      {requestWith("X Y: z\r\n"), http.StatusBadRequest},
		"POST":            {strings.Replace(upgradeRequest, "GET", "POST", 1), http.StatusMethodNotAllowed},
		"another version": {strings.Replace(upgradeRequest, "Version: 13", "Version: 12", 1), http.StatusBadRequest},
		"a body":          {requestWith("Content-Length: 1\r\n") + "x", 0},
		"data behind it":  {upgradeRequest + string(maskedConnect), 0},
	} {
		t.Run(name, func(t *testing.T) {
			to := newTestAttacher()
			c := send(t, dial(t, listenWS(t, listeners.WebSocketOptions{Attacher: to})), test.request)
			if test.want == 0 {
				wantClosed(t, c)
			} else if answer := answerTo(t, c); answer.StatusCode != test.want {
				t.Errorf("answer is %s, want %d", answer.Status, test.want)
			}
			to.wantNone(t)
		})
	}
}
