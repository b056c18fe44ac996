package server

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/access"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/jwt/jwks"
	"github.com/outcry-mqtt/outcry/hooks/passwd"
	"github.com/outcry-mqtt/outcry/listeners"
	"github.com/spf13/cobra"
)

const checkLong = `Check a configuration, and the files that it names, without starting a broker. Each error
has its line and column. Variables of the environment apply, as with serve. The command
does not check for free ports, nor the store: use outcry store check for that.

Exit status: 0 outcry serve would accept the configuration, 1 it would refuse it.`

const checkExample = `  outcry check
  outcry check /etc/outcry/config.yaml
  outcry check --set listeners.tls.address=:8883`

// NewCheckCommand returns the command outcry check.
func NewCheckCommand() *cobra.Command {
	f := &command.ConfigFlags{}
	cmd := &cobra.Command{
		Use:     "check [FILE]",
		Short:   "Check a configuration",
		Long:    checkLong,
		Example: checkExample,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				f.File = args[0]
			}
			return check(f, cmd.OutOrStdout())
		},
	}
	f.Register(cmd)
	return cmd
}

func check(f *command.ConfigFlags, w io.Writer) error {
	o, err := f.Options()
	if err != nil {
		return err
	}
	c, err := config.Load(o)
	if err != nil {
		return err
	}
	if err := validate(c); err != nil {
		return err
	}
	name := o.File
	if name == "" {
		name = "the defaults"
	}
	for _, warning := range slices.Concat(c.Warnings, unusedKeys(c), emptyFiles(c)) {
		fmt.Fprintln(w, "warning: "+warning.String())
	}
	fmt.Fprintln(w, name+": ok")
	printSummary(w, &c.Config)
	return nil
}

// validate finds errors that config.Load cannot see: in files, addresses and folders. It starts nothing, binds no
// configured port, and changes no file. outcry serve runs it before anything else, so that outcry check reports the
// errors of serve.
func validate(c *config.Loaded) error {
	copied := *c
	if path := access.SecretPath(&c.Config); copied.Auth.JWT.SecretFile == "" {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			copied.Auth.JWT.SecretFile = config.SecretNone // the broker will create it
		}
	}
	_, err := access.New(&copied, slog.New(slog.DiscardHandler))
	return sortProblems(errors.Join(checkData(c), err, checkAddresses(c), checkListeners(&copied), checkOps(c)))
}

// unusedKeys warns of unused keys in files of key sets.
func unusedKeys(c *config.Loaded) (warnings config.Problems) {
	for n, i := range c.Auth.JWT.Issuers {
		if i.JWKSFile == "" {
			continue
		}
		set, _ := jwks.ReadFile(i.JWKSFile) // validate has read it
		for _, l := range set.LeftOut {
			path := config.Item("auth.jwt.issuers", n) + ".jwks_file"
			warnings = append(warnings, c.Problem(path, "ignored: "+l.String(), ""))
		}
	}
	return warnings
}

// emptyFiles warns of valid but empty files.
func emptyFiles(c *config.Loaded) (warnings config.Problems) {
	if c.Auth.PasswordFile == "" {
		return nil
	}
	if users, err := passwd.List(c.Auth.PasswordFile); err == nil && len(users) == 0 {
		warnings = append(warnings, c.Problem("auth.password_file", "has no user, so no password is accepted", "add one with outcry passwd"))
	}
	return warnings
}

// sortProblems sorts problems by position, if err consists of nothing else.
func sortProblems(err error) error {
	var all config.Problems
	for _, e := range command.Flatten(err) {
		p, ok := e.(config.Problem)
		if !ok {
			return err
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil
	}
	return all.Sorted()
}

func checkListeners(c *config.Loaded) error {
	l := &c.Listeners
	for _, address := range []*string{&l.TCP.Address, &l.TLS.Address, &l.WS.Address, &l.WSS.Address, &l.ACME.HTTPAddress} {
		if *address != "" {
			*address = "127.0.0.1:0"
		}
	}
	l.Unix.Address = ""
	in, err := bindAll(c, refusingAttacher{}, pageOptions{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return withPosition(c, err)
	}
	in.close()
	return nil
}

// checkAddresses reports addresses that this machine does not have.
func checkAddresses(c *config.Loaded) error {
	var all []error
	for _, a := range c.Addresses() {
		if a.Address != "" {
			all = append(all, bindProblem(c, listeners.CheckAddress(a.Address, a.Path)))
		}
	}
	if path := c.Listeners.Unix.Address; path != "" {
		all = append(all, bindProblem(c, listeners.CheckUnix(path, "listeners.unix.address")))
	}
	return errors.Join(all...)
}

// checkOps checks the operator's token.
func checkOps(c *config.Loaded) error {
	if c.HTTP.Address == "" {
		return nil
	}
	return bindProblem(c, listeners.CheckOps(listeners.OpsOptions{Address: c.HTTP.Address, TokenFile: c.HTTP.TokenFile}))
}

// bindProblem adds a configuration position to a listener's error.
func bindProblem(c *config.Loaded, err error) error {
	var bind *listeners.BindError
	if errors.As(err, &bind) {
		return c.Problem(bind.Key, bind.Reason, bind.Hint)
	}
	return err
}

// checkData checks that the data folder exists or can be created.
func checkData(c *config.Loaded) error {
	const hint = "choose a folder that this user can create and write to"
	for path := filepath.Clean(c.Data); ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) && path != filepath.Dir(path) {
			if _, err := os.Lstat(path); err != nil {
				continue // it will be created
			}
			return c.Problem("data", path+": the symbolic link has no target", hint)
		}
		switch {
		case err != nil:
			return c.Problem("data", cause(err), hint)
		case !info.IsDir():
			return c.Problem("data", path+": not a folder", hint)
		case !mayWrite(path):
			return c.Problem("data", path+": permission denied", hint)
		}
		return nil
	}
}

// refusingAttacher is an Attacher that refuses every connection.
type refusingAttacher struct{}

// Enter refuses.
func (refusingAttacher) Admit(string) (*broker.Ticket, error) { return nil, net.ErrClosed }

// Attach closes the connection.
func (refusingAttacher) Attach(l broker.Conn) error {
	_ = l.Conn.Close()
	return net.ErrClosed
}

func printSummary(w io.Writer, c *config.Config) {
	for _, line := range []struct{ name, address string }{
		{"tcp", c.Listeners.TCP.Address},
		{"tls", c.Listeners.TLS.Address},
		{"ws", c.Listeners.WS.Address},
		{"wss", c.Listeners.WSS.Address},
		{"unix", c.Listeners.Unix.Address},
		{"acme", c.Listeners.ACME.HTTPAddress},
		{"http", c.HTTP.Address},
	} {
		if line.address != "" {
			fmt.Fprintf(w, "  %-5s %s\n", line.name, line.address)
		}
	}
	fmt.Fprintf(w, "  data  %s\n  %d rules, %d rooms\n", c.Data, len(c.Rules), len(c.Rooms))
}
