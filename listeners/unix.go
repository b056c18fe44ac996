package listeners

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"
)

const defaultUnixMode fs.FileMode = 0o660

// UnixOptions configure MQTT over a unix socket. Path and Attacher are required; other zero values mean the default
// in the comment.
type UnixOptions struct {
	Path     string // of the socket, which is created here and removed at the end
	Attacher Attacher

	// Mode is the socket's mode, 0660: the process's user and group.
	Mode      fs.FileMode
	Name      string       // for metrics, logs and hooks: "unix"
	ConfigKey string       // key of these options in the config file, for errors: "listeners." and the name
	Logger    *slog.Logger // nil: discard
}

// Unix is a listener for MQTT over a unix socket. Its peers have no address: Link.Remote is "unix:" and the path.
type Unix struct{ *stream }

var _ Listener = (*Unix)(nil)

// ListenUnix creates the socket. It replaces a stale one of a killed process. A socket that still accepts, or another
// file, is left alone and a *BindError.
func ListenUnix(o UnixOptions) (*Unix, error) {
	o.defaults()
	if o.Attacher == nil {
		return nil, errNoAttacher
	}
	key := o.ConfigKey + ".address"
	if err := removeStale(o.Path, key); err != nil {
		return nil, err
	}
	l, err := bindUnix(o.Path, o.Mode)
	if err != nil {
		return nil, explainUnix(o.Path, key, err)
	}
	s := newStream(o.Name, l, o.Attacher, o.Logger)
	s.remote = "unix:" + o.Path
	s.accept.atClose = remover(o.Path)
	return &Unix{s}, nil
}

func (o *UnixOptions) defaults() {
	if o.Mode == 0 {
		o.Mode = defaultUnixMode
	}
	if o.Name == "" {
		o.Name = "unix"
	}
	if o.ConfigKey == "" {
		o.ConfigKey = "listeners." + o.Name
	}
}

// bindUnix creates the socket. Its mode is never more open than mode, and then exactly that, whatever the umask.
func bindUnix(path string, mode fs.FileMode) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return limitMode(c, mode) }}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		os.Remove(path)
		return nil, err
	}
	return l, nil
}

// remover returns a function that removes the socket at path if it is still the present one: a process started
// meanwhile may have replaced it.
func remover(path string) func() {
	made, err := os.Lstat(path)
	return func() {
		now, errNow := os.Lstat(path)
		if err == nil && errNow == nil && os.SameFile(made, now) {
			os.Remove(path)
		}
	}
}

// removeStale removes a socket without a listener.
func removeStale(path, key string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return explainUnix(path, key, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return noSocket(path, key)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return explainUnix(path, key, syscall.EADDRINUSE)
	}
	if err := os.Remove(path); err != nil {
		return explainUnix(path, key, err)
	}
	return nil
}

func noSocket(path, key string) *BindError {
	return &BindError{Address: path, Key: key, Reason: "the file exists and is not a socket", Hint: "remove it or change " + key}
}

// explainUnix is explain for paths.
func explainUnix(path, key string, err error) *BindError {
	e := &BindError{Address: path, Key: key, Err: err}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		e.Reason, e.Hint = "address in use", "stop the other process (see ss -lxp) or change "+key
	case errors.Is(err, syscall.EACCES):
		e.Reason, e.Hint = "permission denied", "let this user write to the folder or change "+key
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		e.Reason, e.Hint = "its folder does not exist", "make it or change "+key
	case errors.Is(err, syscall.EINVAL):
		e.Reason, e.Hint = "not a path for a socket", "write one of at most about 100 bytes in "+key
	default:
		e.Reason, e.Hint = cause(err), "change "+key
	}
	return e
}
