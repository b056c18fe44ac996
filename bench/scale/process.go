package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"

	"github.com/outcry-mqtt/outcry/bench/process"
)

// broker is Outcry in a process and a folder of its own.
type broker struct {
	*process.Running
	url    *url.URL
	folder string
}

// build builds the program.
func build(ctx context.Context, program string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "./cmd/outcry")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// start starts a broker with a number of shards (0: one for each processor), and waits until it listens.
func start(ctx context.Context, program string, shards int) (*broker, error) {
	folder, err := os.MkdirTemp("", "scale-")
	if err != nil {
		return nil, err
	}
	b, err := startIn(ctx, folder, program, shards)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return b, nil
}

func startIn(ctx context.Context, folder, program string, shards int) (*broker, error) {
	ports, err := process.FreePorts(3)
	if err != nil {
		return nil, err
	}
	tcp := process.Address(ports[0])
	cmd := exec.Command(program, "serve", "--open", "--data", folder, "--tcp", tcp,
		"--ws", process.Address(ports[1]), "--http", process.Address(ports[2]))
	if shards > 0 {
		cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", shards)) // a shard for each
	}
	r, err := process.Start(ctx, cmd, folder, tcp)
	if err != nil {
		return nil, fmt.Errorf("start the broker: %w", err)
	}
	return &broker{r, &url.URL{Scheme: "mqtt", Host: tcp}, folder}, nil
}

// stop ends the process and removes its files.
func (b *broker) stop() {
	b.Stop()
	_ = os.RemoveAll(b.folder)
}
