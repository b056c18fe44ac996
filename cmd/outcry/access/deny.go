package access

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/denylist"
	"github.com/spf13/cobra"
)

// denyFlags are the flags of outcry deny.
type denyFlags struct {
	command.ConfigFlags
	denyFile string
	ttl      ttl           // of a new entry
	note     string        // of a new entry
	kind     denylist.Kind // from the arguments
}

const denyLong = `Deny a user, a client identifier or a token, in the file that auth.deny_file names.
A running broker follows the file within a second: it disconnects denied clients and
refuses them.

A token is named by its id, the claim jti, which outcry token inspect prints. Deny it
for the rest of its lifetime.`

const denyExample = `  outcry deny add user bob --note "left on Monday"
  outcry deny add token 7f3c91 --for 1h
  outcry deny add client kiosk-7
  outcry deny remove user bob
  outcry deny list`

// NewDenyCommand returns the command outcry deny.
func NewDenyCommand() *cobra.Command {
	f := &denyFlags{ttl: forEver}
	cmd := &cobra.Command{
		Use:     "deny",
		Short:   "Keep users, clients and tokens out",
		Long:    denyLong,
		Example: denyExample,
		Args:    command.NoSuch,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	add := f.command("add user|token|client NAME", "Deny a user, token or client, and disconnect it", f.add)
	add.Flags().Var(&f.ttl, "for", "time until the entry expires, such as 15m, 1h or 30d; none: never")
	add.Flags().StringVar(&f.note, "note", "", "reason, as a comment in the file")
	cmd.AddCommand(
		add,
		f.command("remove user|token|client NAME", "Remove an entry", f.remove),
		f.command("list", "List the entries", f.list),
	)
	return cmd
}

// command returns a subcommand of outcry deny. Its arguments are a kind and a value, if use has them.
func (f *denyFlags) command(use, short string, run func(w io.Writer, path, value string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: denyExample}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if use == cmd.Name() {
			return command.NoSuch(cmd, args)
		}
		if len(args) != 2 {
			return fmt.Errorf("write outcry deny %s\nsee %s --help", use, cmd.CommandPath())
		}
		f.kind = denylist.Kind(args[0])
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path, err := f.path()
		if err != nil {
			return err
		}
		return run(cmd.OutOrStdout(), path, append(args, "", "")[1])
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&f.denyFile, "file", "", "deny file (default: auth.deny_file of the configuration)")
	f.ConfigFlags.Register(cmd)
	return cmd
}

// path returns the path of the deny file.
func (f *denyFlags) path() (string, error) {
	if f.denyFile != "" {
		return f.denyFile, nil
	}
	o, err := f.Options()
	if err != nil {
		return "", err
	}
	c, err := config.Load(o)
	if err != nil {
		return "", err
	}
	if c.Auth.DenyFile == "" {
		return "", errors.New("the configuration has no deny file; set auth.deny_file and restart the broker, or give --file")
	}
	return c.Auth.DenyFile, nil
}

func (f *denyFlags) add(_ io.Writer, path, value string) error {
	e := denylist.Entry{Kind: f.kind, Value: value, Note: f.note}
	if d := f.ttl.duration(); d >= 0 {
		e.Until = time.Now().Add(d)
	}
	return denylist.Add(path, e)
}

func (f *denyFlags) remove(_ io.Writer, path, value string) error {
	return denylist.Remove(path, f.kind, value)
}

// list prints the entries that have not expired.
func (f *denyFlags) list(w io.Writer, path, _ string) error {
	entries, err := denylist.Read(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Expired(time.Now()) {
			continue
		}
		if _, err := fmt.Fprintln(w, e); err != nil {
			return err
		}
	}
	return nil
}
