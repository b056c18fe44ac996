package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"github.com/spf13/cobra"
)

const storeBackupLong = `Write a consistent copy of the store to the file TO. The copy has mode 0600. It replaces
TO only when it is complete, on disk and checked. With - the copy goes to standard output
and is not checked.

A running broker is not delayed, but its file grows by the writes during the backup;
outcry store compact shrinks it again.

To restore, stop the broker and replace outcry.db in the data folder by the copy.

Exit status: 0 done, 1 no copy, 2 wrong usage.`

const storeBackupExample = `  outcry store backup /backup/outcry.db --force
  outcry store backup "/backup/outcry-$(date +%F).db" --data /var/lib/outcry
  outcry store backup - | zstd > outcry.db.zst`

func newBackupCommand() *cobra.Command {
	f, force := &flags{}, false
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
	cmd.Flags().BoolVar(&force, "force", false, "replace TO if it exists")
	return cmd
}

func (f *flags) backup(cmd *cobra.Command, to string, force bool) error {
	ctx, cancel := command.Context(cmd)
	defer cancel()
	path, err := f.path(nil)
	if err != nil {
		return err
	}
	p := newProgressLine(cmd, "copying")
	defer p.end()
	fill := func(w io.Writer) error { return f.copy(ctx, path, w, p.show) }
	if to == "-" {
		return fill(cmd.OutOrStdout())
	}
	if isSameFile(to, path) {
		return fmt.Errorf("%s is the store itself; name another file", to)
	}
	var r *boltstore.Report
	err = asOwner(to, func() (err error) {
		r, err = boltstore.SaveBackup(ctx, boltstore.BackupOptions{Path: to, Replace: force}, fill)
		return err
	})
	if errors.Is(err, boltstore.ErrExists) {
		return fmt.Errorf("%s exists; choose another name, or give --force", to)
	}
	if err != nil {
		return err
	}
	p.end()
	return printCheck(cmd.OutOrStdout(), to, r)
}

// copy writes a copy of the store at path to w, whether a broker has it open or not.
func (f *flags) copy(ctx context.Context, path string, w io.Writer, progress func(done, total int64)) error {
	return f.do(path, func() error {
		snap, err := boltstore.OpenSnapshot(path)
		if err != nil {
			return err
		}
		defer snap.Close() // it was only read
		_, err = snap.WriteTo(&progressWriter{ctx: ctx, to: w, total: snap.Size(), progress: progress})
		return err
	}, func(c *brokerClient) error { return c.copyTo(ctx, w, progress) })
}

func isSameFile(a, b string) bool {
	first, err := os.Stat(a)
	second, other := os.Stat(b)
	return err == nil && other == nil && os.SameFile(first, second)
}

// progressWriter reports the bytes written, and ends with its context.
type progressWriter struct {
	ctx         context.Context
	to          io.Writer
	done, total int64
	progress    func(done, total int64)
}

// Write writes and reports.
func (w *progressWriter) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.to.Write(b)
	w.done += int64(n)
	w.progress(w.done, w.total)
	return n, err
}
