//go:build unix

package listeners_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/listeners"
)

func mustListenUnix(t *testing.T, o listeners.UnixOptions) *listeners.Unix {
	t.Helper()
	l, err := listeners.ListenUnix(o)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l)
	return l
}

func TestUnixHandsOver(t *testing.T) {
	to, path := newTestAttacher(), socketPath(t)
	l := mustListenUnix(t, listeners.UnixOptions{Path: path, Attacher: to})
	client := dial(t, l)
	link := to.next(t)
	if link.Listener != "unix" || link.Remote != "unix:"+path {
		t.Errorf("link is %+v", link)
	}
	wantTalk(t, client, link.Conn)
	l.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestUnixMode(t *testing.T) {
	for name, test := range map[string]struct{ mode, want os.FileMode }{
		"default":  {0, 0o660},
		"everyone": {0o666, 0o666}, // beyond the umask
		"owner":    {0o600, 0o600},
	} {
		t.Run(name, func(t *testing.T) {
			path := socketPath(t)
			mustListenUnix(t, listeners.UnixOptions{Path: path, Mode: test.mode, Attacher: newTestAttacher()})
			info, err := os.Lstat(path)
			if err != nil || info.Mode().Perm() != test.want {
				t.Errorf("mode is %v, %v; want %v", info.Mode(), err, test.want)
			}
		})
	}
}

// makeStaleSocket creates a socket without a listener, like a killed process.
func makeStaleSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestUnixReplacesStaleSocket(t *testing.T) {
	to, path := newTestAttacher(), socketPath(t)
	makeStaleSocket(t, path)
	dial(t, mustListenUnix(t, listeners.UnixOptions{Path: path, Attacher: to}))
	to.next(t)
}

func TestUnixRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T, path string)
		path    func(path string) string
		want    string
	}{
		"another process listens": {
			prepare: func(t *testing.T, path string) {
				mustListenUnix(t, listeners.UnixOptions{Path: path, Attacher: newTestAttacher()})
			},
			want: "address in use; stop the other process (see ss -lxp) or change listeners.unix.address",
		},
		"a file": {
			prepare: func(t *testing.T, path string) { writeFile(t, path, []byte("precious")) },
			want:    "the file exists and is not a socket; remove it or change listeners.unix.address",
		},
		"no folder": {
			path: func(path string) string { return filepath.Join(path, "missing", "mqtt.sock") },
			want: "its folder does not exist; make it or change listeners.unix.address",
		},
		"too long": {
			path: func(path string) string { return path + strings.Repeat("x", 200) },
			want: "not a path for a socket; write one of at most about 100 bytes in listeners.unix.address",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := socketPath(t)
			if test.path != nil {
				path = test.path(path)
			}
			if test.prepare != nil {
				test.prepare(t, path)
			}
			before, _ := os.Lstat(path)
			_, err := listeners.ListenUnix(listeners.UnixOptions{Path: path, Attacher: newTestAttacher()})
			if want := "listen " + path + ": " + test.want; err == nil || err.Error() != want {
				t.Errorf("error is %v\nwant     %s", err, want)
			}
			if after, _ := os.Lstat(path); before != nil && (after == nil || !os.SameFile(before, after)) {
				t.Error("what was there is gone")
			}
		})
	}
}

// A process started before the old one ends may have its socket at the path already.
func TestUnixLeavesSuccessorsSocket(t *testing.T) {
	path := socketPath(t)
	old := mustListenUnix(t, listeners.UnixOptions{Path: path, Attacher: newTestAttacher()})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	to := newTestAttacher()
	successor := mustListenUnix(t, listeners.UnixOptions{Path: path, Attacher: to})
	old.Close()
	dial(t, successor)
	to.next(t)
}
