package listeners

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// maxSocketPath is the longest path of a unix socket in bytes that every system accepts.
const maxSocketPath = 103

// CheckAddress checks that this machine has the host of an address (host:port), by listening there briefly on a free
// port. key is the address' key in the config file. The error is a *BindError.
func CheckAddress(address, key string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return explain(address, key, err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return explain(address, key, err)
	}
	return l.Close()
}

// CheckUnix checks that a socket can be created at path: its folder exists, and no other file is there. key and the
// error are as in CheckAddress.
func CheckUnix(path, key string) error {
	if len(path) > maxSocketPath {
		return explainUnix(path, key, syscall.EINVAL)
	}
	if path[0] == '@' { // abstract, not a file
		return nil
	}
	folder, err := os.Stat(filepath.Dir(path))
	if err == nil && !folder.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return explainUnix(path, key, err)
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return explainUnix(path, key, err)
	case info.Mode().Type() != fs.ModeSocket:
		return noSocket(path, key)
	}
	return nil
}

// CheckOps checks the options of the operator's HTTP, except the address itself. The error is a *BindError.
func CheckOps(o OpsOptions) error {
	o.defaults()
	_, err := o.bearer()
	return err
}
