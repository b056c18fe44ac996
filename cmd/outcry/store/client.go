package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"unicode"
)

// maxAnswerBytes bounds a broker's answer in bytes, except a backup.
const maxAnswerBytes = 64 << 20

// brokerClient is a client of the broker that has a store open.
type brokerClient struct {
	access Access
	client http.Client
}

// newBrokerClient returns a client of the broker that has the store in a folder open; address, if not "", replaces the
// broker's.
func newBrokerClient(folder, address string) (*brokerClient, error) {
	access, err := readAccess(folder)
	if err != nil {
		return nil, err
	}
	if address != "" {
		access.Address = address
	}
	// No proxy: it would see the key.
	return &brokerClient{access: *access, client: http.Client{Transport: &http.Transport{Proxy: nil}}}, nil
}

// close closes the connections.
func (c *brokerClient) close() { c.client.CloseIdleConnections() }

// ask requests an operation, and returns the last line of the answer.
func (c *brokerClient) ask(ctx context.Context, what string, progress func(done, total int64)) (*answerLine, error) {
	return c.askAbout(ctx, what, nil, progress)
}

// askAbout is ask with parameters.
func (c *brokerClient) askAbout(ctx context.Context, what string, about url.Values, progress func(done, total int64)) (*answerLine, error) {
	body, _, err := c.request(ctx, http.MethodPost, what, about)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	lines := json.NewDecoder(bufio.NewReader(io.LimitReader(body, maxAnswerBytes)))
	for {
		var line answerLine
		if err := lines.Decode(&line); err != nil {
			return nil, c.failed(ctx, explainTruncated(err))
		}
		if line.Error != "" {
			return nil, errors.New(printable(line.Error))
		}
		if line.isLast() {
			line.clean()
			return &line, nil
		}
		progress(line.Done, line.Total)
	}
}

// copyTo writes the broker's copy of its store to w.
func (c *brokerClient) copyTo(ctx context.Context, w io.Writer, progress func(done, total int64)) error {
	body, size, err := c.request(ctx, http.MethodGet, "backup", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, &progressReader{from: body, total: size, progress: progress})
	if err != nil {
		return c.failed(ctx, explainTruncated(err))
	}
	return nil
}

func (c *brokerClient) request(ctx context.Context, method, what string, about url.Values) (io.ReadCloser, int64, error) {
	to := url.URL{Scheme: "http", Host: c.access.Address, Path: "/store/" + what, RawQuery: about.Encode()}
	r, err := http.NewRequestWithContext(ctx, method, to.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	r.Host = c.access.Host
	r.Header.Set(keyHeader, c.access.Key)
	if c.access.TokenFile != "" {
		token, err := os.ReadFile(c.access.TokenFile)
		if err != nil {
			return nil, 0, err
		}
		r.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(token)))
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return nil, 0, c.failed(ctx, fmt.Errorf("%w; give the broker's http.address with --http, "+
			"or wait for another outcry store to finish", unwrapURL(err)))
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
		return nil, 0, c.failed(ctx, fmt.Errorf("%s: %s", answer.Status, printable(strings.TrimSpace(string(text)))))
	}
	return answer.Body, answer.ContentLength, nil
}

// failed attributes an error to the broker or the connection, unless the request was cancelled.
func (c *brokerClient) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("ask the broker at %s: %w", c.access.Address, err)
}

// clean removes unprintable characters from an answer: its sender may be no broker.
func (l *answerLine) clean() {
	if l.Report == nil {
		return
	}
	for i := range l.Report.Problems {
		l.Report.Problems[i] = printable(l.Report.Problems[i])
	}
	for i := range l.Report.Spaces {
		l.Report.Spaces[i].Name = printable(l.Report.Spaces[i].Name)
	}
	for i := range l.Report.Largest {
		pair := &l.Report.Largest[i]
		pair.Space, pair.Key = printable(pair.Space), printable(pair.Key)
	}
}

// printable replaces characters that a terminal would not print.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) && r != '\n' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// unwrapURL removes net/http's description of the request; the caller adds its own.
func unwrapURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// explainTruncated explains a truncated answer.
func explainTruncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the broker ended before its answer was complete; see its log (%w)", err)
	}
	return err
}

// progressReader reports the bytes read.
type progressReader struct {
	from        io.Reader
	done, total int64
	progress    func(done, total int64)
}

// Read reads and reports.
func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.done += int64(n)
	r.progress(r.done, r.total)
	return n, err
}
