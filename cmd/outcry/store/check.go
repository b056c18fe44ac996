package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"github.com/spf13/cobra"
)

// contentChecks check the meaning of a store's keys and values.
var contentChecks = []boltstore.ContentCheck{storage.Check}

const storeCheckLong = `Check the whole store: its structure, the checksum of each value, and the content of the
values. It changes nothing and does not delay a running broker.

FILE is a store, such as a backup, or a data folder.

Exit status: 0 sound, 1 damaged, 2 not checked.`

const storeCheckExample = `  outcry store check
  outcry store check --data /var/lib/outcry
  outcry store check /backup/outcry.db`

func newCheckCommand() *cobra.Command {
	f, asJSON := &flags{}, false
	cmd := &cobra.Command{
		Use:     "check [FILE]",
		Short:   "Check the store",
		Long:    storeCheckLong,
		Example: storeCheckExample,
		Args:    usage(oneFile),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.check(cmd, args, asJSON) },
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (f *flags) check(cmd *cobra.Command, args []string, asJSON bool) error {
	ctx, cancel := command.Context(cmd)
	defer cancel()
	path, err := f.path(args)
	if err != nil {
		return &command.ExitError{Code: usageStatus, Err: err}
	}
	p := newProgressLine(cmd, "checking")
	report, err := f.report(ctx, path, "check", boltstore.CheckOptions{Content: contentChecks, Progress: p.show})
	p.end()
	if errors.Is(err, boltstore.ErrDamaged) {
		return err // not even its first pages can be read
	}
	if err != nil {
		return &command.ExitError{Code: usageStatus, Err: err}
	}
	if asJSON {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(report)
	} else {
		err = printCheck(cmd.OutOrStdout(), path, report)
	}
	if err != nil {
		return err
	}
	return damaged(path, report)
}

func printCheck(w io.Writer, path string, r *boltstore.Report) error {
	if len(r.Problems) > 0 {
		fmt.Fprintf(w, "%s: damaged\n", path)
		for _, problem := range r.Problems {
			fmt.Fprintf(w, "  %s\n", problem)
		}
		if r.MoreProblems > 0 {
			fmt.Fprintf(w, "  and %d more\n", r.MoreProblems)
		}
		return nil
	}
	var keys int64
	for _, s := range r.Spaces {
		keys += s.Keys
	}
	_, err := fmt.Fprintf(w, "%s: sound; %d keys, %s\n", path, keys, humanBytes(r.FileBytes))
	return err
}

// damaged returns the error for a damaged store, with a remedy.
func damaged(path string, r *boltstore.Report) error {
	if r.Err() == nil {
		return nil
	}
	return &command.ExitError{Code: 1, Err: fmt.Errorf("%s is damaged: stop the broker, then replace it by a backup, "+
		"or move it away to start with an empty store; check the cause, such as a failing disk", path)}
}
