package access

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

// minPasswordBytes is the minimum length of a password in bytes.
const minPasswordBytes = 8

// passwdFlags are the flags of outcry passwd.
type passwdFlags struct {
	stdin, delete, list bool
	claims              []string
}

const passwdLong = `Set the password of a user in a password file, which is made if it is missing.
auth.password_file names the file; a running broker reads it again at SIGHUP.

On a terminal the command asks for the password twice; with --stdin it reads one line.

Rules can refer to the claims of a user, as to those of a token: --claim 'rooms=["lobby"]'.
Claims stay unchanged without --claim.`

const passwdExample = `  outcry passwd /etc/outcry/passwd alice
  outcry passwd passwd bob --claim 'rooms=["lobby","traders"]' --claim admin=true
  head -c 18 /dev/urandom | base64 | outcry passwd passwd sensor-7 --stdin
  outcry passwd passwd bob --delete
  outcry passwd passwd --list`

// NewPasswdCommand returns the command outcry passwd.
func NewPasswdCommand() *cobra.Command {
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
	fs.BoolVar(&f.delete, "delete", false, "remove the user from the file")
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
	if len(password) < minPasswordBytes {
		return fmt.Errorf("the password is too short: it must have %d characters or more", minPasswordBytes)
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

// password reads the password from the terminal or from standard input.
func (f *passwdFlags) password(cmd *cobra.Command) (string, error) {
	if f.stdin {
		line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return "", errors.New("standard input has no password; write one line with it")
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password from standard input: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	terminal, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return "", errors.New("standard input is no terminal; use --stdin")
	}
	first, err := readHidden(terminal, cmd.ErrOrStderr(), "Password: ")
	if err != nil {
		return "", err
	}
	second, err := readHidden(terminal, cmd.ErrOrStderr(), "Once more: ")
	if err != nil {
		return "", err
	}
	if !bytes.Equal(first, second) {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return string(first), nil
}

// readHidden reads a line without echo.
func readHidden(terminal *os.File, prompt io.Writer, question string) ([]byte, error) {
	fmt.Fprint(prompt, question)
	answer, err := term.ReadPassword(int(terminal.Fd()))
	fmt.Fprintln(prompt)
	return answer, err
}
