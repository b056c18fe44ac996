package access

import (
	"os"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

func TestPasswd(t *testing.T) {
	t.Chdir(t.TempDir())
	if status, _, stderr := outcrytest.Call(t, "correct horse\n", "passwd", "users", "alice", "--stdin", "--claim", `rooms=["lobby"]`); status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	if status, _, stderr := outcrytest.Call(t, "another one", "passwd", "users", "bob", "--stdin"); status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	info, err := os.Stat("users")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	_, list, _ := outcrytest.Call(t, "", "passwd", "users", "--list")
	if want := "alice\targon2id\t{\"rooms\":[\"lobby\"]}\nbob\targon2id\n"; list != want {
		t.Errorf("list %q, want %q", list, want)
	}
	if status, _, stderr := outcrytest.Call(t, "", "passwd", "users", "alice", "--delete"); status != 0 {
		t.Errorf("status %d: %s", status, stderr)
	}
	if _, list, _ = outcrytest.Call(t, "", "passwd", "users", "--list"); list != "bob\targon2id\n" {
		t.Errorf("list %q", list)
	}
}

func TestPasswdRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct{ name, stdin, args, want string }{
		{"a short password", "seven77\n", "users alice --stdin", "too short"},
		{"no password", "", "users alice --stdin", "standard input has no password; write one line with it"},
		{"nobody to ask", "", "users alice", "use --stdin"},
		{"an unknown user", "", "users nobody --delete", "no such"},
		{"two verbs", "", "users --delete --list", "none of the others can be"},
		{"a claim without a value", "", "users alice --stdin --claim x", "want NAME=VALUE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, _, stderr := outcrytest.Call(t, tt.stdin, append([]string{"passwd"}, strings.Fields(tt.args)...)...)
			if status != 1 || !strings.Contains(stderr, tt.want) {
				t.Errorf("status %d, error %q, want %q", status, stderr, tt.want)
			}
			if _, err := os.Stat("users"); err == nil {
				t.Error("the file was made")
			}
		})
	}
}
