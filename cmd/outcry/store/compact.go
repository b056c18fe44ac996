package store

import (
	"fmt"

	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"github.com/spf13/cobra"
)

const storeCompactLong = `Shrink the store's file to its content: write a new file beside it, then replace it. This
needs room for both files. An interruption at any moment leaves one complete file.

A running broker checks its store beside its traffic and does the rest between two
commits. Until then acknowledgements of stored messages wait, and messages above
durability.max_pending are refused. 100 MB take a few seconds.

FILE is a store, such as a backup, or a data folder.

Exit status: 0 done, 1 nothing changed, 2 wrong usage.`

const storeCompactExample = `  outcry store compact
  outcry store compact --data /var/lib/outcry`

func newCompactCommand() *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:     "compact [FILE]",
		Short:   "Shrink the store's file to its content",
		Long:    storeCompactLong,
		Example: storeCompactExample,
		Args:    usage(oneFile),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.compact(cmd, args) },
	}
	f.register(cmd)
	return cmd
}

func (f *flags) compact(cmd *cobra.Command, args []string) error {
	ctx, cancel := command.Context(cmd)
	defer cancel()
	path, err := f.path(args)
	if err != nil {
		return err
	}
	p := newProgressLine(cmd, "compacting")
	defer p.end()
	var done *boltstore.Compaction
	err = f.do(path, func() (err error) {
		done, err = boltstore.CompactFile(ctx, path, boltstore.CompactOptions{Progress: p.show})
		return err
	}, func(c *brokerClient) error {
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
