package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/cmd/outcry/lines"
)

// outputTimeout bounds the wait for the last lines at the program's end.
const outputTimeout = 300 * time.Millisecond

// outputs are the outputs of outcry serve. The broker continues without their readers.
type outputs struct {
	banner *lines.Writer // standard output
	log    *lines.Writer // standard error
}

// newOutputs starts a goroutine for each, which end with end.
func newOutputs(c *config.Loaded, stdout, stderr io.Writer) *outputs {
	format := c.Log.Format
	o := &outputs{log: lines.New(stderr, nil, func(lines uint64) []byte { return lossNotice(format, lines) })}
	log := slog.New(newLogHandler(format, o.log, slog.LevelInfo))
	o.banner = lines.New(stdout, func(err error) { log.Warn("cannot write to standard output", "error", err) }, nil)
	return o
}

// lossNotice returns the log line that reports lost lines before it.
func lossNotice(format string, lines uint64) []byte {
	var line bytes.Buffer
	slog.New(newLogHandler(format, &line, slog.LevelInfo)).Warn("log lines lost", "lines", lines)
	return line.Bytes()
}

// end prints the broker's error, if any, and writes the queued lines, within a time limit. It returns an error with
// the exit status that prints nothing more.
func (o *outputs) end(err error) error {
	code := command.ExitCode(err, o.log)
	o.banner.Close(outputTimeout / 2)
	o.log.Close(outputTimeout / 2)
	if code == 0 {
		return nil
	}
	return &command.ExitError{Code: code}
}

// writeAddresses writes the bound addresses atomically, as JSON by the listeners' names.
func writeAddresses(path string, addresses map[string]string) error {
	text, err := json.MarshalIndent(addresses, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(text, '\n'), 0o644)
}

// writeFile replaces a file atomically.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
