package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

func wantMessages(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("on the broker: %q\nwant: %q", got, want)
	}
}

func TestProduceStandardInput(t *testing.T) {
	at := broker(t, "lines")
	r := call(t, "a\r\n\nlast, without an end", "produce", "-brokers", at, "-topic", "lines")
	if r.status != 0 || r.err != "" || !strings.HasPrefix(r.out, "3 of 3 lines acknowledged") {
		t.Fatalf("%+v", r)
	}
	wantMessages(t, readBack(t, at, "lines", 3), []string{"=a", "=", "=last, without an end"})
}

func TestProduceFilesWithKeys(t *testing.T) {
	at := broker(t, "lines")
	one, two := file(t, "one", "k1:v1\nk2:v:2\n"), file(t, "two", ":\n")
	r := call(t, "in:put\n", "produce", "-brokers", at, "-topic", "lines", "-key-separator", ":", "-acks", "one", "-linger", "2ms", one, "-", two)
	if r.status != 0 || r.err != "" {
		t.Fatalf("%+v", r)
	}
	wantMessages(t, readBack(t, at, "lines", 4), []string{"k1=v1", "k2=v:2", "in=put", "="})
}

// Lines are read on while the broker has not answered yet, and keep their order.
func TestProduceReadsOn(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "lines"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	answer := make(chan struct{})
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		cluster.SleepControl(func() { <-answer })
		return nil, nil, false
	})
	const n = 20 * batchLines
	in, feed := io.Pipe()
	var out, errs bytes.Buffer
	status := make(chan int, 1)
	go func() {
		status <- run([]string{"produce", "-brokers", cluster.ListenAddrs()[0], "-topic", "lines"}, &world{
			in: in, out: &out, err: &errs, getenv: func(string) string { return "" }, signals: noSignals,
		})
	}()
	var want []string
	for i := 0; i < n; i += batchLines { // a pipe holds nothing: a write to it returns once it is read
		var text strings.Builder
		for j := range batchLines {
			fmt.Fprintln(&text, i+j)
			want = append(want, fmt.Sprintf("=%d", i+j))
		}
		io.WriteString(feed, text.String())
	}
	close(answer)
	feed.Close()
	if s := <-status; s != 0 || errs.Len() > 0 || !strings.HasPrefix(out.String(), "10,000 of 10,000 lines acknowledged") {
		t.Errorf("status %d, said %q and %q", s, out.String(), errs.String())
	}
	wantMessages(t, readBack(t, cluster.ListenAddrs()[0], "lines", n), want)
}

// The password and the certificate are read for every connection.
func TestSecurityIsReadAgain(t *testing.T) {
	password := file(t, "password", "first-secret\n")
	sec := connect{sasl: "plain", user: "u", passwordFile: password}
	m, err := sec.mechanism(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	login := func(want string) {
		t.Helper()
		_, initial, err := m.Start(t.Context())
		if err != nil || string(initial) != want {
			t.Errorf("logs in with %q (%v), want %q", initial, err, want)
		}
	}
	login("\x00u\x00first-secret")
	os.WriteFile(password, []byte("second-secret"), 0o600)
	login("\x00u\x00second-secret")
	os.Remove(password)
	if _, _, err := m.Start(t.Context()); !errors.Is(err, os.ErrNotExist) || strings.Contains(err.Error(), "second-secret") {
		t.Errorf("without the file: %v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v", m, m, m); strings.Contains(text, "secret") {
		t.Errorf("the mechanism prints %s", text)
	}

	cert, key := file(t, "cert.pem", ""), file(t, "key.pem", "")
	rotate := func() []byte {
		t.Helper()
		made, _ := testbroker.Certificate(t)
		pair := made.Certificates[0]
		der := pair.Certificate[0]
		secret, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
		return der
	}
	rotate()
	c, err := (&connect{cert: cert, key: key}).tlsConfig()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		der := rotate()
		if pair, err := c.GetClientCertificate(nil); err != nil || !bytes.Equal(pair.Certificate[0], der) {
			t.Errorf("not the certificate that is in the file now: %v", err)
		}
	}
}

// A malformed line ends the run. The lines before it were sent, and the summary counts them.
func TestProduceLineWithoutKey(t *testing.T) {
	at := broker(t, "lines")
	f := file(t, "keys", "a:1\nb:2\nnothing\nc:3\n")
	r := call(t, "", "produce", "-brokers", at, "-topic", "lines", "-key-separator", ":", f)
	if r.status != 1 || !strings.Contains(r.err, f+":3:") || !strings.Contains(r.out, "2 of 2 lines acknowledged") || !strings.Contains(r.out, "nothing after line 2") {
		t.Fatalf("%+v", r)
	}
	wantMessages(t, readBack(t, at, "lines", 2), []string{"a=1", "b=2"})
}

func TestProduceManyLinesInOrder(t *testing.T) {
	at := broker(t, "lines")
	var in strings.Builder
	var want []string
	for i := range 20_000 {
		fmt.Fprintf(&in, "line %d\n", i)
		want = append(want, fmt.Sprintf("=line %d", i))
	}
	if r := call(t, in.String(), "produce", "-brokers", at, "-topic", "lines"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	wantMessages(t, readBack(t, at, "lines", len(want)), want)
}

// A message that a broker would refuse is named by its line, and the others are sent.
func TestProduceNamesTheRefusedLine(t *testing.T) {
	at := broker(t, "lines")
	in := "a\n" + strings.Repeat("x", 2<<20) + "\nb\n"
	r := call(t, in, "produce", "-brokers", at, "-topic", "lines")
	if r.status != 1 || !strings.Contains(r.err, "standard input:2: ") || strings.Count(r.err, "\n") != 1 ||
		!strings.Contains(r.out, "2 of 3 lines acknowledged") || !strings.Contains(r.out, "1 not, of which 0 may be on the broker") {
		t.Fatalf("%d %q %q", r.status, r.out, r.err)
	}
	wantMessages(t, readBack(t, at, "lines", 2), []string{"=a", "=b"})
}

func TestProduceAuthenticates(t *testing.T) {
	at := broker(t, "lines", kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "u", "secret-of-the-test"))
	args := []string{"produce", "-brokers", at, "-topic", "lines", "-sasl", "scram-sha-512", "-user", "u"}
	right := map[string]string{passwordVariable: "secret-of-the-test"}
	if r := callWith(t, "by variable\n", right, args...); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	wrong := map[string]string{passwordVariable: "not-the-secret"}
	r := callWith(t, "never\n", wrong, args...)
	if r.status != 1 || strings.Count(r.err, "\n") != 1 || strings.Contains(r.out+r.err, "not-the-secret") {
		t.Errorf("wrong password: %+v", r)
	}
	withFile := append(args, "-password-file", file(t, "password", "secret-of-the-test\n"))
	if r := call(t, "by file\n", withFile...); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	auth := scram.Auth{User: "u", Pass: "secret-of-the-test"}
	wantMessages(t, readBack(t, at, "lines", 2, kgo.SASL(auth.AsSha512Mechanism())), []string{"=by variable", "=by file"})
}

// After Ctrl-C no more lines are read, the lines that were read are sent, and the status says so.
func TestProduceInterruptDrains(t *testing.T) {
	at := broker(t, "lines")
	cmd := process(t, "produce", "-brokers", at, "-topic", "lines")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, "a\nb\n")
	// Both are on the broker while standard input is still open: a slow input is not held up.
	wantMessages(t, readBack(t, at, "lines", 2), []string{"=a", "=b"})
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, errs.String())
	}
	if !strings.Contains(out.String(), "2 of 2 lines acknowledged") || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("said %q and %q", out.String(), errs.String())
	}
}

// A second Ctrl-C does not wait for a broker that never answers.
func TestProduceSecondInterruptForces(t *testing.T) {
	swallowed := make(chan struct{}, 100)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "lines"))
	if err != nil {
		t.Fatal(err)
	}
	forever := make(chan struct{})
	defer cluster.Close()
	defer close(forever)
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		swallowed <- struct{}{}
		cluster.SleepControl(func() { <-forever })
		return nil, nil, true
	})
	cmd := process(t, "produce", "-brokers", cluster.ListenAddrs()[0], "-topic", "lines", file(t, "f", "a\nb\nc\n"))
	errPipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	errs := &pipe{r: errPipe}
	<-swallowed
	cmd.Process.Signal(os.Interrupt)
	errs.until(t, "interrupted")
	cmd.Process.Signal(os.Interrupt)
	said := errs.rest()
	cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != 1 {
		t.Errorf("status %d, want 1", status)
	}
	if !strings.Contains(out.String(), "0 of 3 lines acknowledged") || !strings.Contains(out.String(), "3 not, of which 3 may be on the broker") || !strings.Contains(said, "cut off") {
		t.Errorf("said %q and %q", out.String(), said)
	}
}

// Ctrl-C while it connects ends it at once.
func TestInterruptWhileConnecting(t *testing.T) {
	for says, c := range map[string]struct {
		command     string
		connections int
	}{
		"surestart produce: cannot start (metadata): interrupted\n": {"produce", 1},
		"surestart doctor: interrupted\n":                           {"doctor", 2}, // the second is the login
		"surestart consume: interrupted\n":                          {"consume", 1},
	} {
		t.Run(c.command, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, and no program answers
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			cmd := process(t, c.command, "-brokers", ln.Addr().String(), "-topic", "lines")
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for range c.connections {
				conn, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
			}
			cmd.Process.Signal(os.Interrupt)
			cmd.Wait()
			if cmd.ProcessState.ExitCode() != exitFail || errs.String() != says || strings.Contains(out.String(), "FAIL") {
				t.Errorf("status %d, %q\n%s", cmd.ProcessState.ExitCode(), &errs, &out)
			}
		})
	}
}

// surestart broker is what the help of produce says it is.
func TestBrokerTakesLines(t *testing.T) {
	out, interrupt := running(t, "broker", "-port", "0", "-topic", "lines", "-partitions", "1")
	out.until(t, "try: ")
	_, at, _ := strings.Cut(out.seen.String(), "listening on ")
	at, _, _ = strings.Cut(at, ",")
	if r := call(t, "a\nb\n", "produce", "-brokers", at, "-topic", "lines"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	wantMessages(t, readBack(t, at, "lines", 2), []string{"=a", "=b"})
	interrupt()
}

func TestProduceOnApacheKafka(t *testing.T) {
	at := strings.Split(kafkaOrSkip(t), ",")[0]
	id := make([]byte, 5)
	rand.Read(id)
	topic := "produce-" + hex.EncodeToString(id)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := &kafka.Client{Addr: kafka.TCP(at), Transport: &kafka.Transport{}}
	res, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}})
	if err != nil || res.Errors[topic] != nil {
		t.Fatal(err, res)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	})
	for ctx.Err() == nil { // a new topic may take a moment to be known
		m, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
		if err == nil && len(m.Topics) == 1 && m.Topics[0].Error == nil && len(m.Topics[0].Partitions) == 1 {
			break
		}
	}
	if r := call(t, "a\nb\n", "produce", "-brokers", at, "-topic", topic); r.status != 0 || !strings.HasPrefix(r.out, "2 of 2 lines acknowledged") {
		t.Fatalf("%+v", r)
	}
	wantMessages(t, readBack(t, at, topic, 2), []string{"=a", "=b"})
	if r := call(t, "a\n", "produce", "-brokers", at, "-topic", topic+"-absent"); r.status != 1 || strings.Count(r.err, "\n") != 1 {
		t.Errorf("an unknown topic: %+v", r)
	}
}
