// Package store holds the commands that maintain the store, and the service by which a running broker performs them.
// The store itself is hooks/boltstore.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const storeLong = `Maintain the store, the file outcry.db in the data folder: retained messages, durable
sessions and their queues.

The broker may run or not. A running broker does the work beside its traffic, on a request
to its http.address. The data folder has that address and a key, so run this command as
the broker's user, or as root, which then uses the rights of the folder's owner.

Without --data or FILE the configuration names the data folder.`

const storeExample = `  outcry store check
  outcry store stats --data /var/lib/outcry --json
  outcry store backup /backup/outcry.db --force
  outcry store compact
  outcry store drop-session sensor-17`

// usageStatus is the exit status for wrong usage.
const usageStatus = 2

// flags are common to the store's commands.
type flags struct {
	command.ConfigFlags
	data, http string
}

// NewCommand returns the command outcry store.
func NewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "store",
		Short:   "Check, measure, back up or compact the store, or drop a session from it",
		Long:    storeLong,
		Example: storeExample,
		Args:    usage(command.NoSuch),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &command.ExitError{Code: usageStatus, Err: command.ExplainFlag(cmd, err)}
	})
	cmd.AddCommand(newCheckCommand(), newStatsCommand(), newBackupCommand(), newCompactCommand(),
		newDropSessionCommand())
	return cmd
}

// usage makes errors of arguments usage errors.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &command.ExitError{Code: usageStatus, Err: err}
		}
		return nil
	}
}

// oneFile accepts one FILE or no argument.
func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("write %s [FILE]\nsee %s --help", cmd.CommandPath(), cmd.CommandPath())
	}
	return nil
}

func (f *flags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.data, "data", "", "data folder (default: data in the configuration)")
	f.ConfigFlags.Register(cmd)
	fs.StringVar(&f.http, "http", "", "address of the broker (default: the one in the data folder)")
	_ = cmd.MarkFlagDirname("data") // it fails only if there is no such flag
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	cmd.MarkFlagsMutuallyExclusive("data", "config")
}

// path returns the store's file: the named one, the one in a named folder, or the configuration's.
func (f *flags) path(args []string) (string, error) {
	if len(args) > 0 {
		if info, err := os.Stat(args[0]); err == nil && info.IsDir() {
			return filepath.Join(args[0], File), nil
		}
		return args[0], nil
	}
	if f.data != "" {
		return filepath.Join(f.data, File), nil
	}
	o, err := f.Options()
	if err != nil {
		return "", err
	}
	c, err := config.Load(o)
	if err != nil {
		return "", err
	}
	return filepath.Join(c.Data, File), nil
}

// do runs an operation on the store at path: by itself, or by asking the broker that has it open. Root does it with
// the rights of the broker's user, who controls the data folder.
func (f *flags) do(path string, itself func() error, asking func(c *brokerClient) error) error {
	return asOwner(path, func() error { return f.doHere(path, itself, asking) })
}

func (f *flags) doHere(path string, itself func() error, asking func(c *brokerClient) error) error {
	err := itself()
	if !errors.Is(err, boltstore.ErrInUse) {
		return err
	}
	c, err := newBrokerClient(filepath.Dir(path), f.http)
	if err != nil {
		return fmt.Errorf("%s is in use: %w", path, err)
	}
	defer c.close()
	return asking(c)
}

// progressLine shows progress on a terminal, once the work takes long.
type progressLine struct {
	out  io.Writer
	verb string
	last time.Time
	any  bool
	off  bool
}

func newProgressLine(cmd *cobra.Command, verb string) *progressLine {
	p := &progressLine{out: cmd.ErrOrStderr(), verb: verb, last: time.Now(), off: true}
	if file, ok := p.out.(*os.File); ok {
		p.off = !term.IsTerminal(int(file.Fd()))
	}
	return p
}

func (p *progressLine) show(done, total int64) {
	if p.off || total <= 0 || time.Since(p.last) < time.Second/2 {
		return
	}
	p.last, p.any = time.Now(), true
	fmt.Fprintf(p.out, "\r\x1b[K%s: %d %%", p.verb, min(100, 100*done/total))
}

// end erases the line.
func (p *progressLine) end() {
	if p.any {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// report checks the store at path, whether a broker has it open or not.
func (f *flags) report(ctx context.Context, path, verb string, o boltstore.CheckOptions) (report *boltstore.Report, err error) {
	err = f.do(path, func() error {
		snap, err := boltstore.OpenSnapshot(path)
		if err != nil {
			return err
		}
		defer snap.Close() // it was only read
		report, err = snap.Check(ctx, o)
		return err
	}, func(c *brokerClient) error {
		line, err := c.ask(ctx, verb, o.Progress)
		if err == nil {
			report = line.Report
		}
		return err
	})
	return report, err
}
