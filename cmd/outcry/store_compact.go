package main

import (
	"fmt"

	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"github.com/spf13/cobra"
)

const storeCompactLong = `Make the store's file as small as what is in it, by writing a new one beside it that then
takes its place. That needs room for both. It may be interrupted at any moment: one of
the two whole files is there.

A broker that runs checks its store beside its traffic, and then does the rest between
two commits: until that is done, messages that must be stored wait for their
acknowledgement, and are refused beyond durability.max_pending. Some 100 MB take a few
seconds.

FILE is a store, such as a backup, or a data folder.

Exit status: 0, or 1 if nothing was changed, 2 if the command is wrong.`

const storeCompactExample = `  outcry store compact
  outcry store compact --data /var/lib/outcry`

func newStoreCompactCommand() *cobra.Command {
	f := &storeFlags{}
	cmd := &cobra.Command{
		Use:     "compact [FILE]",
		Short:   "Give back what is free in the store's file",
		Long:    storeCompactLong,
		Example: storeCompactExample,
		Args:    usage(oneFile),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.compact(cmd, args) },
	}
	f.register(cmd)
	return cmd
}

func (f *storeFlags) compact(cmd *cobra.Command, args []string) error {
	ctx, cancel := clientContext(cmd)
	defer cancel()
	path, err := f.path(args)
	if err != nil {
		return err
	}
	p := newStoreProgress(cmd, "compacting")
	defer p.end()
	var done *boltstore.Compaction
	err = f.do(path, func() (err error) {
		done, err = boltstore.CompactFile(ctx, path, boltstore.CompactOptions{Progress: p.show})
		return err
	}, func(c *storeClient) error {
		line, err := c.ask(ctx, "compact", p.show)
		if err == nil {
			done = line.Compaction
		}
		return err
	})
	if err != nil {
		return err
	}
	p.end()
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s before, %s now\n", path, humanBytes(done.Before), humanBytes(done.After))
	return err
}
