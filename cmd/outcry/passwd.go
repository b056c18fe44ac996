package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/outcry-mqtt/outcry/hooks/passwd"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// leastPassword is how long a password must be, in bytes.
const leastPassword = 8

// passwdFlags are the flags of outcry passwd.
type passwdFlags struct {
	stdin, delete, list bool
	claims              []string
}

const passwdLong = `Give a user a password in a password file, which is made if it is missing, or change it.
The file is what auth.password_file names; a broker that runs reads it again at SIGHUP.

The password is asked for twice on a terminal, or read as one line with --stdin.

Claims are what rules can speak of, as those of a token are: --claim 'rooms=["lobby"]'.
They stay as they are unless --claim is given.`

const passwdExample = `  outcry passwd /etc/outcry/passwd alice
  outcry passwd passwd bob --claim 'rooms=["lobby","traders"]' --claim admin=true
  head -c 18 /dev/urandom | base64 | outcry passwd passwd sensor-7 --stdin
  outcry passwd passwd bob --delete
  outcry passwd passwd --list`

func newPasswdCommand() *cobra.Command {
	f := &passwdFlags{}
	cmd := &cobra.Command{
		Use:     "passwd FILE [USER]",
		Short:   "Edit a password file",
		Long:    passwdLong,
		Example: passwdExample,
		Args:    f.checkArgs,
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.BoolVar(&f.stdin, "stdin", false, "read the password from standard input")
	fs.StringArrayVar(&f.claims, "claim", nil, "claim NAME=VALUE of the user, where VALUE may be JSON; may be repeated")
	fs.BoolVar(&f.delete, "delete", false, "take the user out of the file")
	fs.BoolVar(&f.list, "list", false, "list the users")
	cmd.MarkFlagsMutuallyExclusive("delete", "list", "stdin")
	return cmd
}

func (f *passwdFlags) checkArgs(cmd *cobra.Command, args []string) error {
	want, usage := 2, "FILE USER"
	if f.list {
		want, usage = 1, "FILE --list"
	}
	if len(args) != want {
		return fmt.Errorf("write %s %s\nsee %s --help", cmd.CommandPath(), usage, cmd.CommandPath())
	}
	return nil
}

func (f *passwdFlags) run(cmd *cobra.Command, args []string) error {
	switch {
	case f.list:
		return listUsers(cmd.OutOrStdout(), args[0])
	case f.delete:
		return passwd.Delete(args[0], args[1])
	}
	claims, err := parseClaims(f.claims)
	if err != nil {
		return err
	}
	password, err := f.password(cmd)
	if err != nil {
		return err
	}
	if len(password) < leastPassword {
		return fmt.Errorf("the password is too short: it must have %d characters or more", leastPassword)
	}
	return passwd.Set(args[0], args[1], password, claims)
}

func listUsers(w io.Writer, file string) error {
	users, err := passwd.List(file)
	if err != nil {
		return err
	}
	for _, u := range users {
		line := u.User + "\t" + u.Scheme
		if len(u.Claims) > 0 {
			claims, err := json.Marshal(u.Claims)
			if err != nil {
				return err
			}
			line += "\t" + string(claims)
		}
		fmt.Fprintln(w, line)
	}
	return nil
}

// password asks for the password, or reads it.
func (f *passwdFlags) password(cmd *cobra.Command) (string, error) {
	if f.stdin {
		line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		if errors.Is(err, io.EOF) && line != "" {
			err = nil
		}
		return strings.TrimRight(line, "\r\n"), err
	}
	terminal, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return "", errors.New("standard input is no terminal to ask for the password; use --stdin")
	}
	first, err := ask(terminal, cmd.ErrOrStderr(), "Password: ")
	if err != nil {
		return "", err
	}
	second, err := ask(terminal, cmd.ErrOrStderr(), "Once more: ")
	if err != nil {
		return "", err
	}
	if !bytes.Equal(first, second) {
		return "", errors.New("the two differ; nothing was changed")
	}
	return string(first), nil
}

// ask reads a line that the terminal does not show.
func ask(terminal *os.File, prompt io.Writer, question string) ([]byte, error) {
	fmt.Fprint(prompt, question)
	answer, err := term.ReadPassword(int(terminal.Fd()))
	fmt.Fprintln(prompt)
	return answer, err
}
