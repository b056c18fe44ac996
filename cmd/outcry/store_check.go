package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"github.com/spf13/cobra"
)

// contentChecks are the checks of what the pairs of a store mean.
var contentChecks = []boltstore.ContentCheck{
	func(from boltstore.Loader, problem func(error)) error { return broker.CheckStore(from.Load, problem) },
}

const storeCheckLong = `Check the whole store: its structure, the checksum of each value, and what the values
mean. Nothing is changed in it, and a broker that runs is not held up.

FILE is a store, such as a backup, or a data folder.

Exit status: 0 it is sound, 1 it is damaged, 2 it could not be checked.`

const storeCheckExample = `  outcry store check
  outcry store check --data /var/lib/outcry
  outcry store check /backup/outcry.db`

func newStoreCheckCommand() *cobra.Command {
	f, asJSON := &storeFlags{}, false
	cmd := &cobra.Command{
		Use:     "check [FILE]",
		Short:   "Tell whether the store is sound",
		Long:    storeCheckLong,
		Example: storeCheckExample,
		Args:    usage(oneFile),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.check(cmd, args, asJSON) },
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func (f *storeFlags) check(cmd *cobra.Command, args []string, asJSON bool) error {
	ctx, cancel := clientContext(cmd)
	defer cancel()
	path, err := f.path(args)
	if err != nil {
		return &exitError{usageStatus, err}
	}
	p := newStoreProgress(cmd, "checking")
	report, err := f.report(ctx, path, "check", boltstore.CheckOptions{Content: contentChecks, Progress: p.show})
	p.end()
	if errors.Is(err, boltstore.ErrDamaged) {
		return err // not even its first pages can be read
	}
	if err != nil {
		return &exitError{usageStatus, err}
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

// damaged says what to do about a store that is not sound.
func damaged(path string, r *boltstore.Report) error {
	if r.Err() == nil {
		return nil
	}
	return &exitError{1, fmt.Errorf("%s is damaged: stop the broker, then put a backup in its place, "+
		"or move it away to start with an empty store; what damaged it, such as a failing disk, may do so again", path)}
}
