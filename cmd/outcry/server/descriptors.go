package server

import (
	"log/slog"

	"github.com/outcry-mqtt/outcry/broker"
)

// reservedFiles is the number of open files kept from clients: for connections being accepted, the operator's HTTP,
// the store and key files. Without them a full broker could not report its state.
const reservedFiles = 128

// boundConnections limits the connections to the number of open files minus the reserve. files is the process's
// limit; 0: unknown.
func boundConnections(l *broker.Limits, files int, log *slog.Logger) {
	if files <= 0 {
		return
	}
	most := max(files-reservedFiles, files/2)
	switch {
	case l.MaxConnections <= 0:
		log.Info("connections limited by open files", "connections", most, "open_files", files)
	case l.MaxConnections <= most:
		return
	default:
		log.Warn("fewer connections than limits.max_connections", "connections", most, "max_connections", l.MaxConnections,
			"open_files", files, "hint", "raise the limit of open files (ulimit -n, LimitNOFILE)")
	}
	l.MaxConnections = most
}
