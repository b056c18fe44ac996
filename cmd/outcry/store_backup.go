package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"github.com/spf13/cobra"
)

const storeBackupLong = `Write a copy of the store to the file TO, as the store is at one moment. It gets mode
0600, and is there only when it is whole, on disk and checked; what was there stays
until then. With - the copy goes to standard output, and is not checked.

A broker that runs is not held up, but its file grows by what is written meanwhile;
outcry store compact gives that back.

To restore, stop the broker and put the copy in the place of outcry.db in the data
folder.

Exit status: 0, or 1 if there is no copy, 2 if the command is wrong.`

const storeBackupExample = `  outcry store backup /backup/outcry.db --force
  outcry store backup "/backup/outcry-$(date +%F).db" --data /var/lib/outcry
  outcry store backup - | zstd > outcry.db.zst`

func newStoreBackupCommand() *cobra.Command {
	f, force := &storeFlags{}, false
	cmd := &cobra.Command{
		Use:     "backup TO",
		Short:   "Copy the store to a file",
		Long:    storeBackupLong,
		Example: storeBackupExample,
		Args: usage(func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("write %s TO\nsee %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error { return f.backup(cmd, args[0], force) },
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "replace TO if it is there already")
	return cmd
}

func (f *storeFlags) backup(cmd *cobra.Command, to string, force bool) error {
	ctx, cancel := clientContext(cmd)
	defer cancel()
	path, err := f.path(nil)
	if err != nil {
		return err
	}
	p := newStoreProgress(cmd, "copying")
	defer p.end()
	fill := func(w io.Writer) error { return f.copy(ctx, path, w, p.show) }
	if to == "-" {
		return fill(cmd.OutOrStdout())
	}
	if isSameFile(to, path) {
		return fmt.Errorf("%s is the store itself; name another file", to)
	}
	r, err := boltstore.SaveBackup(ctx, boltstore.BackupOptions{Path: to, Replace: force}, fill)
	if errors.Is(err, boltstore.ErrExists) {
		return fmt.Errorf("%s is there already; choose another name, or give --force", to)
	}
	if err != nil {
		return err
	}
	p.end()
	return printCheck(cmd.OutOrStdout(), to, r)
}

// copy writes a copy of the store at path to w, whoever has it open.
func (f *storeFlags) copy(ctx context.Context, path string, w io.Writer, progress func(done, total int64)) error {
	return f.do(path, func() error {
		snap, err := boltstore.OpenSnapshot(path)
		if err != nil {
			return err
		}
		defer snap.Close() // it was only read
		_, err = snap.WriteTo(&progressWriter{ctx: ctx, to: w, total: snap.Size(), progress: progress})
		return err
	}, func(c *storeClient) error { return c.copyTo(ctx, w, progress) })
}

func isSameFile(a, b string) bool {
	first, err := os.Stat(a)
	second, other := os.Stat(b)
	return err == nil && other == nil && os.SameFile(first, second)
}

// progressWriter tells how much was written, and ends with its context.
type progressWriter struct {
	ctx         context.Context
	to          io.Writer
	done, total int64
	progress    func(done, total int64)
}

// Write writes more.
func (w *progressWriter) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.to.Write(b)
	w.done += int64(n)
	w.progress(w.done, w.total)
	return n, err
}
