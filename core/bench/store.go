package bench

import (
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/teachers"
)

// Store keeps the records of finished runs in a SQLite database, which any language reads. A record is on disk before
// the next run starts.
type Store struct{ db *sql.DB }

// The columns of the table "runs", in order; hash is its key. NULL is a number that there is none of.
const schema = `CREATE TABLE IF NOT EXISTS runs (
	hash TEXT PRIMARY KEY, family TEXT NOT NULL, seed INTEGER NOT NULL, spec TEXT NOT NULL,
	outcome TEXT NOT NULL, stage TEXT NOT NULL, reason TEXT NOT NULL,
	inputs INTEGER, m0 INTEGER, m1 INTEGER, parameters INTEGER, activation TEXT,
	found_m0 INTEGER, found_m1 INTEGER, found_activation TEXT,
	max_error REAL, first_error REAL, second_error REAL, output_error REAL, error_bar REAL, validation_error REAL,
	queries INTEGER, seconds REAL, timeout_seconds REAL, version TEXT, finished TEXT, metrics TEXT) WITHOUT ROWID`

const columns = `hash, family, seed, spec, outcome, stage, reason, inputs, m0, m1, parameters, activation,
	found_m0, found_m1, found_activation, max_error, first_error, second_error, output_error, error_bar, validation_error,
	queries, seconds, timeout_seconds, version, finished, metrics`

// OpenStore opens or creates the database at path.
func OpenStore(path string) (*Store, error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return nil, fault.New(fault.Usage, "the results %s cannot be opened: %w", path, err)
	}
	db.SetMaxOpenConns(1) // pragmas are a connection's, and the writers are few
	addMetrics := ""      // results of before there were metrics
	if _, err := db.Exec("SELECT finished FROM runs LIMIT 0"); err == nil {
		if _, err := db.Exec("SELECT metrics FROM runs LIMIT 0"); err != nil {
			addMetrics = "ALTER TABLE runs ADD COLUMN metrics TEXT"
		}
	}
	for _, statement := range []string{"PRAGMA busy_timeout = 10000", "PRAGMA synchronous = FULL", schema, addMetrics, "SELECT " + columns + " FROM runs LIMIT 0"} {
		if _, err := db.Exec(statement); err != nil {
			return nil, fault.New(fault.Usage, "%s is no database of results (%w); move it away or give another folder", path, errors.Join(err, db.Close()))
		}
	}
	return &Store{db}, nil
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Put keeps the record, in place of an earlier one of the same run.
func (s *Store) Put(r *Record) error {
	spec, err := json.Marshal(r.Spec)
	if err != nil {
		return err
	}
	var metrics any
	if len(r.Metrics) > 0 {
		text, err := json.Marshal(r.Metrics)
		if err != nil {
			return err
		}
		metrics = string(text)
	}
	number := func(v float64) any {
		if math.IsNaN(v) {
			return nil
		}
		return v
	}
	_, err = s.db.Exec("INSERT OR REPLACE INTO runs ("+columns+") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
		r.Hash, r.Spec.Family, int64(r.Spec.Seed), string(spec), string(r.Outcome), r.Stage, r.Reason,
		r.Size.Inputs, r.Size.M0, r.Size.M1, r.Parameters, r.Activation, r.FoundM0, r.FoundM1, r.FoundActivation,
		number(r.MaxError), number(r.FirstError), number(r.SecondError), number(r.OutputError), number(r.ErrorBar), number(r.ValidationError),
		r.Queries, r.Seconds, r.Timeout.Seconds(), r.Version, r.Finished.Format(time.RFC3339), metrics)
	if err != nil {
		return fault.New(fault.Usage, "a result cannot be kept: %w", err)
	}
	return nil
}

// Get returns the record of the run with the given hash, nil when there is none.
func (s *Store) Get(hash string) (*Record, error) {
	r := &Record{}
	var family, spec, finished string
	var seed int64
	var timeout float64
	var numbers [6]sql.NullFloat64
	var metrics sql.NullString
	err := s.db.QueryRow("SELECT "+columns+" FROM runs WHERE hash = ?", hash).Scan(
		&r.Hash, &family, &seed, &spec, &r.Outcome, &r.Stage, &r.Reason,
		&r.Size.Inputs, &r.Size.M0, &r.Size.M1, &r.Parameters, &r.Activation, &r.FoundM0, &r.FoundM1, &r.FoundActivation,
		&numbers[0], &numbers[1], &numbers[2], &numbers[3], &numbers[4], &numbers[5],
		&r.Queries, &r.Seconds, &timeout, &r.Version, &finished, &metrics)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(spec), &r.Spec)
	}
	if err == nil && metrics.Valid {
		err = json.Unmarshal([]byte(metrics.String), &r.Metrics)
	}
	if err == nil {
		r.Finished, err = time.Parse(time.RFC3339, finished)
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "a kept result cannot be read: %w", err)
	}
	r.Timeout = time.Duration(timeout * float64(time.Second))
	for i, to := range []*float64{&r.MaxError, &r.FirstError, &r.SecondError, &r.OutputError, &r.ErrorBar, &r.ValidationError} {
		*to = math.NaN()
		if numbers[i].Valid {
			*to = numbers[i].Float64
		}
	}
	return r, nil
}

// WriteCSV writes every run of the summary as a line.
func (s *Summary) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	names := s.metricNames()
	_ = out.Write(append([]string{"cell", "seed", "success", "outcome", "stage", "reason", "inputs", "m0", "m1", "activation", "parameters",
		"found_m0", "found_m1", "found_activation", "max_error", "first_error", "second_error", "output_error", "error_bar", "validation_error",
		"queries", "queries_per_parameter", "seconds", "version", "hash"}, names...))
	number := func(v float64) string {
		if math.IsNaN(v) {
			return ""
		}
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	size := func(m teachers.Size) []string {
		return []string{strconv.Itoa(m.Inputs), strconv.Itoa(m.M0), strconv.Itoa(m.M1)}
	}
	for _, c := range s.Cells {
		for _, r := range c.Records {
			line := []string{c.Cell.Name, strconv.FormatUint(r.Spec.Seed, 10), strconv.FormatBool(c.Cell.Success(r)), string(r.Outcome), r.Stage, r.Reason}
			line = append(append(line, size(r.Size)...), r.Activation, strconv.Itoa(r.Parameters),
				strconv.Itoa(r.FoundM0), strconv.Itoa(r.FoundM1), r.FoundActivation,
				number(r.MaxError), number(r.FirstError), number(r.SecondError), number(r.OutputError), number(r.ErrorBar), number(r.ValidationError),
				strconv.FormatInt(r.Queries, 10), number(r.PerParameter()), strconv.FormatFloat(r.Seconds, 'f', 2, 64), r.Version, r.Hash)
			for _, name := range names {
				line = append(line, number(r.Metric(name)))
			}
			_ = out.Write(line)
		}
	}
	out.Flush()
	return out.Error()
}
