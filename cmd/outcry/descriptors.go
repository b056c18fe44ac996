package main

import (
	"log/slog"

	"github.com/outcry-mqtt/outcry/broker"
)

// reservedFiles is how many open files are kept from clients: for those that are being taken, the operator's HTTP, the store,
// key files. Without them a broker that is full could not say so.
const reservedFiles = 128

// boundConnections has the broker take no more connections than it may have files open, less the reserve. files is how
// many those are; 0: not known.
func boundConnections(l *broker.Limits, files int, log *slog.Logger) {
	if files <= 0 {
		return
	}
	most := max(files-reservedFiles, files/2)
	switch {
	case l.MaxConnections <= 0:
		log.Info("connections are bounded by open files", "connections", most, "open_files", files)
	case l.MaxConnections <= most:
		return
	default:
		log.Warn("fewer connections than limits.max_connections allows", "connections", most, "max_connections", l.MaxConnections,
			"open_files", files, "hint", "raise the limit of open files (ulimit -n, LimitNOFILE)")
	}
	l.MaxConnections = most
}
