package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const storeLong = `Look after the store, the file outcry.db in the data folder: what outlives the broker.

The broker may run or not. If one has the store open it is asked, over its http.address,
to do the work beside its traffic; how it is found, and the key that it wants to see,
stands in the data folder, so run this as the user that the broker runs as, or as root.

Without --data or FILE the configuration says where the data folder is.`

const storeExample = `  outcry store check
  outcry store stats --data /var/lib/outcry --json
  outcry store backup /backup/outcry.db --force
  outcry store compact`

// usageStatus is the exit status for a command that was not written as it must be.
const usageStatus = 2

// storeFlags are what the store's commands share.
type storeFlags struct {
	configFlags
	data, http string
}

func newStoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "store",
		Short:   "Check, measure, back up or compact the store",
		Long:    storeLong,
		Example: storeExample,
		Args:    usage(noSuchCommand),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exitError{usageStatus, explainFlag(cmd, err)}
	})
	cmd.AddCommand(newStoreCheckCommand(), newStoreStatsCommand(), newStoreBackupCommand(), newStoreCompactCommand())
	return cmd
}

// usage makes an error of arguments one of usage.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &exitError{usageStatus, err}
		}
		return nil
	}
}

// oneFile takes a FILE or nothing.
func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("write %s [FILE]\nsee %s --help", cmd.CommandPath(), cmd.CommandPath())
	}
	return nil
}

func (f *storeFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.data, "data", "", "the data folder (default: data in the configuration)")
	f.configFlags.register(cmd)
	fs.StringVar(&f.http, "http", "", "where the broker answers, if not at the address that it has noted in the data folder")
	_ = cmd.MarkFlagDirname("data") // it fails only if there is no such flag
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	cmd.MarkFlagsMutuallyExclusive("data", "config")
}

// path returns the store's file: the one that is named, the one in a folder that is named, or the configuration's.
func (f *storeFlags) path(args []string) (string, error) {
	if len(args) > 0 {
		if info, err := os.Stat(args[0]); err == nil && info.IsDir() {
			return filepath.Join(args[0], storeFile), nil
		}
		return args[0], nil
	}
	if f.data != "" {
		return filepath.Join(f.data, storeFile), nil
	}
	o, err := f.options()
	if err != nil {
		return "", err
	}
	c, err := config.Load(o)
	if err != nil {
		return "", err
	}
	return filepath.Join(c.Data, storeFile), nil
}

// do does something to the store at path: by itself, or by asking the broker that has it open.
func (f *storeFlags) do(path string, itself func() error, asking func(c *storeClient) error) error {
	err := itself()
	if !errors.Is(err, boltstore.ErrInUse) {
		return err
	}
	c, err := newStoreClient(filepath.Dir(path), f.http)
	if err != nil {
		return fmt.Errorf("%s is in use: %w", path, err)
	}
	defer c.close()
	return asking(c)
}

// storeProgress shows how far the work is, on a terminal and once it takes its time.
type storeProgress struct {
	out  io.Writer
	verb string
	last time.Time
	any  bool
	off  bool
}

func newStoreProgress(cmd *cobra.Command, verb string) *storeProgress {
	p := &storeProgress{out: cmd.ErrOrStderr(), verb: verb, last: time.Now(), off: true}
	if file, ok := p.out.(*os.File); ok {
		p.off = !term.IsTerminal(int(file.Fd()))
	}
	return p
}

func (p *storeProgress) show(done, total int64) {
	if p.off || total <= 0 || time.Since(p.last) < time.Second/2 {
		return
	}
	p.last, p.any = time.Now(), true
	fmt.Fprintf(p.out, "\r\x1b[K%s: %d %%", p.verb, min(100, 100*done/total))
}

// end takes the line away.
func (p *storeProgress) end() {
	if p.any {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// report checks the store at path, whoever has it open.
func (f *storeFlags) report(ctx context.Context, path, verb string, o boltstore.CheckOptions) (report *boltstore.Report, err error) {
	err = f.do(path, func() error {
		snap, err := boltstore.OpenSnapshot(path)
		if err != nil {
			return err
		}
		defer snap.Close() // it was only read
		report, err = snap.Check(ctx, o)
		return err
	}, func(c *storeClient) error {
		line, err := c.ask(ctx, verb, o.Progress)
		if err == nil {
			report = line.Report
		}
		return err
	})
	return report, err
}
