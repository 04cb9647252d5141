package others

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// plain has a test for every cell of the comparison that is not a yes, without the suite and the
// adapters. Each has a dozen lines, and passes as long as the finding is true. To run one of them:
//
//	go test -run 'TestPlain/uber/fx/G4' .
var plain = map[string]map[string]func(*testing.T){
	"sync.Once":            {"G5": onceKeepsItsFailure, "G6": onceOpensForNobody},
	"mutex and flag":       {"G6": mutexOpensForNobody},
	"singleflight":         {"G1": singleflightOpensTwice, "G6": singleflightOpensForNobody, "G8": singleflightStopSeesNothing},
	"errgroup style":       {"G1": errgroupOpensTwice, "G2": errgroupOpensAgain, "G8": errgroupStopFails},
	"CometBFT BaseService": {"G6": cometOpensForNobody, "G8": cometStopsWhileItStarts, "G14": cometLosesTheError},
	"dskit services":       {"G4": dskitStartDoesNotWait, "G5": dskitStartsOnce, "G6": dskitOpensForNobody, "G8": dskitStopFails},
	"suture":               {"G3": sutureIsNotReady},
	"uber/fx":              {"G1": fxOpensTwice, "G2": fxOpensAgain, "G4": fxDoesNotRollBack, "G6": fxLeavesItOpen, "G7": fxStopForgets, "G8": fxStopSeesNothing},
	"looplab/fsm":          {"G6": looplabOpensForNobody, "G8": looplabStopWaits},
	"sarama Broker":        {"G6": saramaOpensForNobody, "G8": saramaStopWaits},
	"kafka-go Dialer, Conn": {"G1": kafkaGoOpensTwice, "G2": kafkaGoOpensAgain, "G6": kafkaGoOpensForNobody,
		"G8": kafkaGoStopSeesNothing},
	"aiokafka 0.14.0": {"G1": aiokafkaOpensTwice, "G2": aiokafkaOpensAgain, "G4": aiokafkaLeaksTheClient, "G6": aiokafkaOpensForNobody,
		"G8": aiokafkaComesUpAfterStop},
	"aiokafka PR 1143": {"G3": pr1143SucceedsTooEarly, "G4": pr1143LeaksTheClient, "G6": pr1143OpensForNobody, "G8": pr1143ComesUpAfterStop},
}

func TestPlain(t *testing.T) {
	shown := 0
	for _, name := range slices.Sorted(maps.Keys(plain)) {
		for id, test := range plain[name] {
			t.Run(name+"/"+id, func(t *testing.T) { synctest.Test(t, test) })
			shown++
		}
	}
	fmt.Printf("CHECKED others plain tests=%d\n", shown)
}

// There is a plain test for each cell of the page that is neither yes nor empty, and none for a yes. (One for an empty cell
// shows what the suite does not find in each run.)
func TestPlainOfEveryCell(t *testing.T) {
	page, err := os.ReadFile("../../docs/figures/comparison.md")
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for name, tests := range plain {
		for id := range tests {
			left[name+" "+id] = true
		}
	}
	rows, checked := regexp.MustCompile(`(?m)^\| ([^|]+) \|(( [^|]* \|){15})$`).FindAllStringSubmatch(string(page), -1), 0
	for _, row := range rows {
		for i, cell := range strings.Split(row[2], "|")[:15] {
			key := fmt.Sprintf("%s G%d", row[1], i+1)
			switch no := strings.Contains(cell, "]("); {
			case no && !left[key], left[key] && cell == " yes ":
				t.Errorf("%s: the page has %q, a plain test: %v", key, cell, left[key])
			case no:
				checked++
			}
			delete(left, key)
		}
	}
	if len(rows) != len(all) || len(left) > 0 {
		t.Errorf("%d rows of %d, and plain tests of no cell: %v", len(rows), len(all), left)
	}
	fmt.Printf("CHECKED others cells with-a-plain-test=%d\n", checked)
}

// Every sentence that is quoted stands where it is said to. aiokafka's is looked up by compare.py.
func TestPlainQuotes(t *testing.T) {
	mark := regexp.MustCompile(`(\s|//)+`)
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, o := range all {
		for id, w := range documents[o.name] {
			dir := filepath.Join(strings.TrimSpace(string(root)), "src")
			switch {
			case strings.HasSuffix(w.file, ".py"):
				continue
			case o.version != "":
				out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", o.version).Output()
				if err != nil {
					t.Fatal(err)
				}
				dir = strings.TrimSpace(string(out))
			}
			text, err := os.ReadFile(filepath.Join(dir, w.file))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(mark.ReplaceAllString(string(text), " "), w.quote) {
				t.Errorf("%s %s: %s does not say %q", o.name, id, w.file, w.quote)
			}
			looked++
		}
	}
	for name := range documents {
		if !slices.ContainsFunc(all, func(o other) bool { return o.name == name }) {
			t.Errorf("there is no %s", name)
		}
	}
	fmt.Printf("CHECKED others quotes=%d\n", looked)
}

// resource is what the plain tests open.
type resource struct {
	mu           sync.Mutex
	opened, held int
	gate         chan struct{} // open waits for it, if not nil
	fails        error
}

func (r *resource) open() error {
	r.add(1, 0)
	if r.gate != nil {
		<-r.gate
	}
	if r.fails != nil {
		return r.fails
	}
	r.add(0, 1)
	return nil
}

func (r *resource) close() { r.add(0, -1) }

func (r *resource) add(opened, held int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened += opened
	r.held += held
}

var errNoBroker = errors.New("no broker")

// ended is a context that has ended already.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// expect: the defect is still there.
func expect(t *testing.T, is bool, format string, args ...any) {
	t.Helper()
	if !is {
		t.Errorf("it is not so any more: "+format, args...)
	}
}

// async runs f in a goroutine, and returns once that rests or has ended.
func async(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	synctest.Wait()
	return done
}

func rests(done <-chan error) bool { return len(done) == 0 }

// waitsForLock returns once a goroutine waits for a mutex in that function, which synctest.Wait
// does not detect.
func waitsForLock(function string) {
	for stacks := make([]byte, 1<<20); ; runtime.Gosched() {
		for one := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(one, "[sync.Mutex.Lock") && strings.Contains(one, function) {
				return
			}
		}
	}
}
