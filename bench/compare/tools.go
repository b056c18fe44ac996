package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"github.com/outcry-mqtt/outcry/bench/process"
)

// find finds a program, also in the folders for administrators.
func find(program, install string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	if path, err := exec.LookPath("/usr/sbin/" + program); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("there is no program %s; install it (on Debian: %s)", program, install)
}

// build builds a Go program in a module's folder.
func build(ctx context.Context, module, program, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, pkg)
	cmd.Dir = module
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s in %s; is the module proxy reachable? %w: %s", pkg, module, err, process.LastLine(text))
	}
	return nil
}

// nodePackage installs the packages of the peers on Node.js, and returns the version of one.
func nodePackage(ctx context.Context, name string) (string, error) {
	const folder = "bench/peers/node"
	if _, err := find("node", "apt-get install nodejs npm"); err != nil {
		return "", err
	}
	if _, err := find("npm", "apt-get install nodejs npm"); err != nil {
		return "", err
	}
	file := filepath.Join(folder, "node_modules", name, "package.json")
	if _, err := os.Stat(file); err != nil {
		cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
		cmd.Dir = folder
		if text, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("npm ci in %s: %w: %s", folder, err, process.LastLine(text))
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	_, after, _ := bytes.Cut(text, []byte(`"version"`))
	return firstVersion(after), nil
}

var versionPattern = regexp.MustCompile(`\d+\.\d+\.\d+`)

func firstVersion(text []byte) string { return string(versionPattern.Find(text)) }
