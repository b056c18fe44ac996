package outcrytest

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// Until waits for a condition while the process runs.
func (p *Process) Until(what string, done func() bool) {
	p.T.Helper()
	for deadline := time.Now().Add(WaitLimit); !done(); time.Sleep(10 * time.Millisecond) {
		select {
		case <-p.Ended:
			p.T.Fatalf("it ended with %v before %s", p.Cmd.ProcessState, what)
		default:
		}
		if time.Now().After(deadline) {
			p.T.Fatalf("not in time: %s", what)
		}
	}
}

// Metric returns the value of a metric without labels.
func (p *Process) Metric(name string) int {
	p.T.Helper()
	response, err := http.Get("http://" + p.Addresses["http"] + "/metrics")
	if err != nil {
		p.T.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.T.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + ` (\d+)$`).FindSubmatch(text)
	if found == nil {
		p.T.Fatalf("no metric %s", name)
	}
	n, _ := strconv.Atoi(string(found[1]))
	return n
}

// Fetch returns the body of the response to GET path.
func Fetch(t *testing.T, address, path string) string {
	t.Helper()
	response, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
