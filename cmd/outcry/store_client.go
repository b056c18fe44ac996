package main

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
)

// storeClient asks a broker that has a store open.
type storeClient struct {
	access storeAccess
	client http.Client
}

// newStoreClient returns one for the broker that has the store in a folder open; address, if not "", is where it is.
func newStoreClient(folder, address string) (*storeClient, error) {
	access, err := readAccess(folder)
	if err != nil {
		return nil, err
	}
	if address != "" {
		access.Address = address
	}
	// No proxy: the key is nobody else's business.
	return &storeClient{access: *access, client: http.Client{Transport: &http.Transport{Proxy: nil}}}, nil
}

// close lets go of the connections.
func (c *storeClient) close() { c.client.CloseIdleConnections() }

// ask has the broker do something, and returns the last line of its answer.
func (c *storeClient) ask(ctx context.Context, what string, progress func(done, total int64)) (*storeLine, error) {
	body, _, err := c.request(ctx, http.MethodPost, what)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	lines := json.NewDecoder(bufio.NewReader(body))
	for {
		var line storeLine
		if err := lines.Decode(&line); err != nil {
			return nil, c.failed(ctx, lost(err))
		}
		if line.Error != "" {
			return nil, errors.New(line.Error)
		}
		if line.isLast() {
			return &line, nil
		}
		progress(line.Done, line.Total)
	}
}

// copyTo writes the broker's copy of its store to w.
func (c *storeClient) copyTo(ctx context.Context, w io.Writer, progress func(done, total int64)) error {
	body, size, err := c.request(ctx, http.MethodGet, "backup")
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, &progressReader{from: body, total: size, progress: progress})
	if err != nil {
		return c.failed(ctx, lost(err))
	}
	return nil
}

func (c *storeClient) request(ctx context.Context, method, what string) (io.ReadCloser, int64, error) {
	to := url.URL{Scheme: "http", Host: c.access.Address, Path: "/store/" + what}
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
			"or wait if another outcry store is at work on the file", unwrapURL(err)))
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
		return nil, 0, c.failed(ctx, fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(text))))
	}
	return answer.Body, answer.ContentLength, nil
}

// failed says who did not do as it was asked, unless it was called off.
func (c *storeClient) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("ask the broker at %s: %w", c.access.Address, err)
}

// unwrapURL takes away what net/http says about the request, which the caller says better.
func unwrapURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// lost explains an answer that ends too early.
func lost(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it ended before it had answered in full; see its log (%w)", err)
	}
	return err
}

// progressReader tells how much was read.
type progressReader struct {
	from        io.Reader
	done, total int64
	progress    func(done, total int64)
}

// Read reads more.
func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.done += int64(n)
	r.progress(r.done, r.total)
	return n, err
}
