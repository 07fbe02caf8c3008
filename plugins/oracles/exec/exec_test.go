package exec

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk/plugintest"
)

// TestMain is the programs that the tests ask: this test binary, started again with one of these names.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "program" {
		serve(os.Args[2])
		return
	}
	goleak.VerifyTestMain(m)
}

func f(x []float64) float64 { return math.Tanh(x[0]-2*x[1]) + 0.5*math.Sin(x[2]) }

// serve answers as its name says:
//
//	lines, binary   as they should
//	two             two values a row
//	exits           status 3 after two rows, with last words
//	killed          by a signal after two rows
//	hangs           after two rows
//	buffers         never flushes
//	words           prints a word instead of a number in the second row
//	chatty          prints a banner before the answers
//	ragged          more numbers in the second row than in the first
//	blank           an empty line
//	twice           every answer twice
//	refuses         says "error: out of order"
//	short           one row too few in a frame
//	garbage         no frame at all
//	cut             half a frame
//	refuses-binary  a frame that refuses
//	deaf            closes its input and sleeps
func serve(name string) {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	switch name {
	case "binary", "short", "garbage", "cut", "refuses-binary":
		serveFrames(name, in, out)
		return
	case "deaf":
		os.Stdin.Close()
		time.Sleep(time.Hour)
	case "chatty":
		fmt.Fprintln(out, "model loaded")
	}
	for row := 1; ; row++ {
		line, err := in.ReadString('\n')
		if err != nil {
			if name == "buffers" {
				return
			}
			out.Flush()
			return
		}
		var x []float64
		for field := range strings.FieldsSeq(line) {
			v, err := strconv.ParseFloat(field, 64)
			if err != nil {
				panic(err)
			}
			x = append(x, v)
		}
		if row == 3 {
			switch name {
			case "exits":
				out.Flush()
				fmt.Fprintln(os.Stderr, "no more memory\n\nI give up")
				os.Exit(3)
			case "killed":
				out.Flush()
				p, _ := os.FindProcess(os.Getpid())
				_ = p.Kill()
				time.Sleep(time.Hour)
			case "hangs":
				out.Flush()
				time.Sleep(time.Hour)
			}
		}
		switch y := f(x); {
		case name == "two":
			fmt.Fprintf(out, "%v,\t%v\r\n", y, x[0])
		case name == "words" && row == 2:
			fmt.Fprintln(out, "class_1")
		case name == "ragged" && row == 2:
			fmt.Fprintln(out, y, y)
		case name == "blank" && row == 2:
			fmt.Fprintln(out)
		case name == "refuses":
			fmt.Fprintln(out, "error: out of order")
		case name == "twice":
			fmt.Fprintf(out, "%v\n%v\n", y, y)
		default:
			fmt.Fprintln(out, y)
		}
		if in.Buffered() == 0 && name != "buffers" {
			out.Flush()
		}
	}
}

func serveFrames(name string, in *bufio.Reader, out *bufio.Writer) {
	for {
		var shape [2]uint64
		if binary.Read(in, binary.LittleEndian, &shape) != nil {
			return
		}
		x, y := make([]float64, shape[0]*shape[1]), make([]float64, shape[0])
		if binary.Read(in, binary.LittleEndian, x) != nil {
			return
		}
		for i := range y {
			y[i] = f(x[uint64(i)*shape[1]:])
		}
		head := []uint64{shape[0], 1}
		switch name {
		case "short":
			head[0]--
			y = y[1:]
		case "garbage":
			fmt.Fprintln(out, "hello, this is a program that knows no frames")
		case "cut":
			_ = binary.Write(out, binary.LittleEndian, head)
			_ = binary.Write(out, binary.LittleEndian, y[:len(y)/2])
			out.Flush()
			return
		case "refuses-binary":
			head = []uint64{math.MaxUint64, 12}
			_ = binary.Write(out, binary.LittleEndian, head)
			fmt.Fprint(out, "out of order")
			out.Flush()
			continue
		}
		_ = binary.Write(out, binary.LittleEndian, head)
		_ = binary.Write(out, binary.LittleEndian, y)
		out.Flush()
	}
}

func opened(t *testing.T, name string, options ...string) core.Oracle {
	t.Helper()
	given := core.Options{"command": fmt.Sprintf("'%s' program %s", os.Args[0], name), "inputs": "3"}
	if strings.Contains(" binary short garbage cut refuses-binary ", " "+name+" ") {
		given["format"] = "binary"
	}
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		given[key] = value
	}
	resolved, err := Factory.Resolve(core.KindOracle, given)
	if err != nil {
		t.Fatal(err)
	}
	o, err := Factory.Open(resolved)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

func TestConformance(t *testing.T) {
	for _, options := range [][]string{{"lines"}, {"lines", "processes=3"}, {"binary", "max-batch=64"}, {"two"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			if err := plugintest.CheckOracle(t.Context(), opened(t, options[0], options[1:]...), 0); err != nil {
				t.Error(err)
			}
		})
	}
}

// Both formats carry every bit, however large a batch is: more than the pipes hold, both ways at once.
func TestExactAndLarge(t *testing.T) {
	for _, name := range []string{"lines", "binary"} {
		o := opened(t, name)
		x := mat.NewDense(20000, 3, nil)
		for i := range x.RawMatrix().Data {
			x.RawMatrix().Data[i] = math.Sin(float64(i)) * math.Pow(10, float64(i%40-20))
		}
		y, err := o.Query(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20000 {
			if want := f(x.RawRowView(i)); y.At(i, 0) != want {
				t.Fatalf("%s: row %d is %v, not %v", name, i, y.At(i, 0), want)
			}
		}
	}
}

// Whatever a program does wrong is one sentence that names it and says what it did.
func TestBrokenPrograms(t *testing.T) {
	const rows = 5
	for name, want := range map[string]string{
		"exits":          "exited with status 3 after answering 2 of 5 rows; its last words:\n  no more memory\n  I give up",
		"killed":         "was ended by a signal (signal: killed) after answering 2 of 5 rows",
		"hangs":          "did not answer 5 rows within 300ms (2 answered by then); does it read line by line, and flush its output?",
		"buffers":        "did not answer 5 rows within 300ms (0 answered by then); does it read line by line, and flush its output?",
		"words":          `answered row 2 of 5 by "class_1", where a number was expected`,
		"chatty":         `answered row 1 of 5 by "model loaded", where a number was expected`,
		"ragged":         "answered row 2 of 5 by 2 numbers, and 1 before",
		"blank":          "answered row 2 of 5 by nothing",
		"refuses":        "refused a batch of 5 rows: out of order",
		"short":          "announced an answer of 4 x 1 to 5 rows",
		"garbage":        `what it wrote begins "hello, this is a"`,
		"cut":            "exited with status 0 after answering 2 of 5 rows",
		"refuses-binary": "refused a batch of 5 rows: out of order",
		"deaf":           "did not answer 5 rows within 300ms",
	} {
		t.Run(name, func(t *testing.T) {
			timeout := "timeout=30s"
			if strings.Contains(want, "within 300ms") { // the others end by themselves, on a busy machine later than that
				timeout = "timeout=300ms"
			}
			o := opened(t, name, timeout)
			for range 2 { // a program that has failed is started again
				_, err := o.Query(t.Context(), mat.NewDense(rows, 3, make([]float64, rows*3)))
				if err == nil {
					t.Fatal("no error")
				}
				if text := err.Error(); !strings.HasPrefix(text, `the program "`) || !strings.Contains(text, want) || !fault.Is(err, fault.Oracle) {
					t.Fatalf("%v\nwant: %s", err, want)
				}
			}
		})
	}
}

// A program that answers more than it was asked is caught before its answers are taken for those of other queries.
func TestTooManyAnswers(t *testing.T) {
	o := opened(t, "twice")
	x := mat.NewDense(2, 3, []float64{1, 2, 3, 4, 5, 6})
	if _, err := o.Query(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // for what it wrote to arrive
	_, err := o.Query(t.Context(), x)
	if err == nil || !strings.Contains(err.Error(), "more than the answers it was asked for") {
		t.Fatal(err)
	}
}

func TestCancellation(t *testing.T) {
	o := opened(t, "hangs", "timeout=1h")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	started := time.Now()
	_, err := o.Query(ctx, mat.NewDense(5, 3, make([]float64, 15)))
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(started) > 5*time.Second {
		t.Fatalf("%v after %s", err, time.Since(started))
	}
}

func TestOptions(t *testing.T) {
	for option, want := range map[string]string{
		"command=":                    "is empty",
		"command=no-such-program-xyz": "give its path",
		"command='unclosed":           "a quote is opened and not closed",
		"command=cat \\":              "backslash",
		"inputs=-1":                   "inputs",
		"format=xml":                  "lines or binary",
		"dtype=FP16":                  "FP64 or FP32",
		"timeout=0s":                  "duration",
		"max-batch=x":                 "max-batch",
		"processes=0":                 "processes",
		"processes=257":               "at most 256",
	} {
		given := core.Options{"command": os.Args[0]}
		key, value, _ := strings.Cut(option, "=")
		given[key] = value
		resolved, err := Factory.Resolve(core.KindOracle, given)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Factory.Open(resolved)
		if err == nil || !strings.Contains(err.Error(), want) || !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", option, err)
		}
	}
}

// A script that has changed is another model, unless its name is given.
func TestIdentity(t *testing.T) {
	script := t.TempDir() + "/model.awk"
	model := func(content, name string) string {
		if err := os.WriteFile(script, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		o := opened(t, "lines", "command=cat "+script, "model="+name)
		info, err := o.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.Model
	}
	if a, b := model("1", ""), model("2", ""); a == b || !strings.HasPrefix(a, "cat "+script+" (sha256 ") {
		t.Errorf("%q, then %q", a, b)
	}
	if a := model("3", "mine v2"); a != "mine v2" {
		t.Error(a)
	}
}

// BenchmarkQuery is what the two formats cost, a row and a call: figures in docs/backends.md.
func BenchmarkQuery(b *testing.B) {
	for _, name := range []string{"lines", "binary"} {
		for _, rows := range []int{1, 1000} {
			b.Run(fmt.Sprintf("%s/%d", name, rows), func(b *testing.B) {
				given := core.Options{"command": fmt.Sprintf("'%s' program %s", os.Args[0], name), "inputs": "50", "format": name}
				resolved, err := Factory.Resolve(core.KindOracle, given)
				if err != nil {
					b.Fatal(err)
				}
				o, err := Factory.Open(resolved)
				if err != nil {
					b.Fatal(err)
				}
				defer o.Close()
				x := mat.NewDense(rows, 50, nil)
				for i := range x.RawMatrix().Data {
					x.RawMatrix().Data[i] = math.Sin(float64(i))
				}
				for b.Loop() {
					if _, err := o.Query(b.Context(), x); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*rows), "µs/row")
			})
		}
	}
}
