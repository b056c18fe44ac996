package disk_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/tests/crash/disk"
)

func TestMain(m *testing.M) {
	var err error
	switch command, args := os.Args[1], os.Args[2:]; command {
	case disk.CommandFiltered:
		err = disk.Filtered(args)
	case disk.CommandInside:
		err = fillUp(args[0])
	case "write":
		err = write(args[0])
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// write writes and syncs a file many times and prints the number of failures of each.
func write(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	writes, syncs := 0, 0
	for range 300 {
		if _, err := f.WriteAt([]byte("x"), 0); err != nil {
			writes++
		}
		if f.Sync() != nil {
			syncs++
		}
	}
	fmt.Printf("writes=%v syncs=%v\n", writes > 0, syncs > 0)
	return nil
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		armed bool
		want  string
	}{{false, "writes=false syncs=false"}, {true, "writes=true syncs=true"}} {
		f := disk.Faults{Random: rand.New(rand.NewPCG(1, 2))}
		f.Arm(tt.armed)
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "write", filepath.Join(t.TempDir(), "file"))
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := f.Start(cmd); errors.Is(err, disk.ErrUnsupported) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, out.String())
		}
		if got := strings.TrimSpace(out.String()); got != tt.want || (f.Failed() > 0) != tt.armed {
			t.Errorf("armed %v: got %q, and %d failed", tt.armed, got, f.Failed())
		}
	}
}

// fillUp mounts a file system of a megabyte and writes more than that to it.
func fillUp(folder string) error {
	if err := disk.Mount(folder, 1<<20); err != nil {
		return err
	}
	path := filepath.Join(folder, "file")
	err := os.WriteFile(path, make([]byte, 2<<20), 0o600)
	if err == nil {
		return errors.New("two megabytes fit into one")
	}
	if !strings.Contains(err.Error(), "no space") {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.WriteFile(path, make([]byte, 1<<19), 0o600)
}

func TestMount(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	cmd := exec.Command(self, disk.CommandInside, folder)
	var out strings.Builder
	cmd.Stdout = &out
	if err := disk.Inside(cmd); errors.Is(err, disk.ErrUnsupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, out.String())
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
		t.Errorf("the file system is still there: %v, %v", entries, err)
	}
}

func TestLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("12345678"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, lift := range []bool{false, true} {
		cmd := exec.Command("sh", "-c", `trap "" XFSZ; read line; printf x >> "$0"`, path)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		err = disk.Limit(cmd.Process.Pid, path)
		if lift {
			err = errors.Join(err, disk.Lift(cmd.Process.Pid))
		}
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintln(in)
		if err := cmd.Wait(); (err == nil) != lift {
			t.Errorf("lifted %v: writing behind the end of the file: %v", lift, err)
		}
	}
}
