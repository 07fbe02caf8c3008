// Command gen writes the kernels of package fastblas as assembly: go generate ./core/fastblas.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	tall  = 4  // rows of a tile
	lanes = 4  // numbers in a register
	wide  = 12 // columns of a tile
)

func main() {
	ConstraintExpr("amd64")
	tile()
	dots()
	combine()
	pack()
	Generate()
}

// tile adds a product of two packed panels to a tile of C. Twelve accumulators, three registers for a row of b and one for
// a number of a are all sixteen that AVX2 has.
func tile() {
	TEXT("tileAVX2", NOSPLIT, "func(k int, a, b, c *float64, stride int)")
	Pragma("noescape")
	Doc("tileAVX2 adds to c (4 x 12, rows stride apart) the sum over k of 4 numbers of a times 12 numbers of b.")
	k, a, b, c, stride := Load(Param("k"), GP64()), Load(Param("a"), GP64()), Load(Param("b"), GP64()), Load(Param("c"), GP64()), Load(Param("stride"), GP64())
	SHLQ(Imm(3), stride)
	var sum [tall][wide / lanes]VecVirtual
	for i := range sum {
		for j := range sum[i] {
			sum[i][j] = YMM()
			VXORPD(sum[i][j], sum[i][j], sum[i][j])
		}
	}
	var row [wide / lanes]VecVirtual
	for j := range row {
		row[j] = YMM()
	}
	number := YMM()
	step := func(s int) {
		for j := range row {
			VMOVUPD(Mem{Base: b, Disp: (s*wide + j*lanes) * 8}, row[j])
		}
		for i := range sum {
			VBROADCASTSD(Mem{Base: a, Disp: (s*tall + i) * 8}, number)
			for j := range row {
				VFMADD231PD(row[j], number, sum[i][j])
			}
		}
	}
	const unroll = 4
	Label("four")
	CMPQ(k, Imm(unroll))
	JL(LabelRef("rest"))
	for s := range unroll {
		step(s)
	}
	ADDQ(U32(unroll*tall*8), a)
	ADDQ(U32(unroll*wide*8), b)
	SUBQ(Imm(unroll), k)
	JMP(LabelRef("four"))
	Label("rest")
	TESTQ(k, k)
	JZ(LabelRef("add"))
	step(0)
	ADDQ(Imm(tall*8), a)
	ADDQ(U32(wide*8), b)
	DECQ(k)
	JMP(LabelRef("rest"))
	Label("add")
	for i := range sum {
		for j := range sum[i] {
			VADDPD(Mem{Base: c, Disp: j * lanes * 8}, sum[i][j], sum[i][j])
			VMOVUPD(sum[i][j], Mem{Base: c, Disp: j * lanes * 8})
		}
		if i < tall-1 {
			ADDQ(stride, c)
		}
	}
	VZEROUPPER()
	RET()
}

// dots is four inner products with one vector; the vector is read once.
func dots() {
	TEXT("dotsAVX2", NOSPLIT, "func(n int, a *float64, stride int, x, y *float64)")
	Pragma("noescape")
	Doc("dotsAVX2 stores in y[0..3] the inner products of x with four rows of a, stride apart; n is a multiple of 4.")
	n, a, stride, x, y := Load(Param("n"), GP64()), Load(Param("a"), GP64()), Load(Param("stride"), GP64()), Load(Param("x"), GP64()), Load(Param("y"), GP64())
	SHLQ(Imm(3), stride)
	rows := rowPointers(a, stride)
	var sum [4][2]VecVirtual
	for i := range sum {
		for h := range sum[i] {
			sum[i][h] = YMM()
			VXORPD(sum[i][h], sum[i][h], sum[i][h])
		}
	}
	at := GP64()
	XORQ(at, at)
	part := YMM()
	step := func(h int) {
		VMOVUPD(Mem{Base: x, Index: at, Scale: 8, Disp: 32 * h}, part)
		for i := range sum {
			VFMADD231PD(Mem{Base: rows[i], Index: at, Scale: 8, Disp: 32 * h}, part, sum[i][h])
		}
	}
	Label("eight")
	CMPQ(n, Imm(8))
	JL(LabelRef("four"))
	step(0)
	step(1)
	ADDQ(Imm(8), at)
	SUBQ(Imm(8), n)
	JMP(LabelRef("eight"))
	Label("four")
	TESTQ(n, n)
	JZ(LabelRef("reduce"))
	step(0)
	Label("reduce")
	for i := range sum {
		VADDPD(sum[i][1], sum[i][0], sum[i][0])
	}
	// Two by two: neighbours, then halves.
	VHADDPD(sum[1][0], sum[0][0], sum[0][0]) // 0:01 1:01 0:23 1:23
	VHADDPD(sum[3][0], sum[2][0], sum[2][0])
	VPERM2F128(Imm(0x21), sum[2][0], sum[0][0], sum[1][0]) // 0:23 1:23 2:01 3:01
	VBLENDPD(Imm(0xc), sum[2][0], sum[0][0], sum[0][0])    // 0:01 1:01 2:23 3:23
	VADDPD(sum[1][0], sum[0][0], sum[0][0])
	VMOVUPD(sum[0][0], Mem{Base: y})
	VZEROUPPER()
	RET()
}

// combine adds a combination of four rows; what they are added to is read and written once.
func combine() {
	TEXT("combineAVX2", NOSPLIT, "func(n int, a *float64, stride int, x, y *float64)")
	Pragma("noescape")
	Doc("combineAVX2 adds to y the four rows of a, stride apart, times x[0..3]; n is a multiple of 4.")
	n, a, stride, x, y := Load(Param("n"), GP64()), Load(Param("a"), GP64()), Load(Param("stride"), GP64()), Load(Param("x"), GP64()), Load(Param("y"), GP64())
	SHLQ(Imm(3), stride)
	rows := rowPointers(a, stride)
	var factor [4]VecVirtual
	for i := range factor {
		factor[i] = YMM()
		VBROADCASTSD(Mem{Base: x, Disp: 8 * i}, factor[i])
	}
	at := GP64()
	XORQ(at, at)
	sums := [2]VecVirtual{YMM(), YMM()}
	step := func(halves int) {
		for h := range halves {
			VMOVUPD(Mem{Base: y, Index: at, Scale: 8, Disp: 32 * h}, sums[h])
		}
		for i := range factor {
			for h := range halves {
				VFMADD231PD(Mem{Base: rows[i], Index: at, Scale: 8, Disp: 32 * h}, factor[i], sums[h])
			}
		}
		for h := range halves {
			VMOVUPD(sums[h], Mem{Base: y, Index: at, Scale: 8, Disp: 32 * h})
		}
	}
	Label("eight")
	CMPQ(n, Imm(8))
	JL(LabelRef("four"))
	step(2)
	ADDQ(Imm(8), at)
	SUBQ(Imm(8), n)
	JMP(LabelRef("eight"))
	Label("four")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	step(1)
	Label("done")
	VZEROUPPER()
	RET()
}

// pack copies rows of twelve numbers one behind the other.
func pack() {
	TEXT("packAVX2", NOSPLIT, "func(k int, b *float64, stride int, into *float64)")
	Pragma("noescape")
	Doc("packAVX2 copies the first 12 numbers of k rows, stride apart.")
	k, b, stride, into := Load(Param("k"), GP64()), Load(Param("b"), GP64()), Load(Param("stride"), GP64()), Load(Param("into"), GP64())
	SHLQ(Imm(3), stride)
	row := [wide / lanes]VecVirtual{YMM(), YMM(), YMM()}
	Label("next")
	TESTQ(k, k)
	JZ(LabelRef("done"))
	for j := range row {
		VMOVUPD(Mem{Base: b, Disp: j * lanes * 8}, row[j])
	}
	for j := range row {
		VMOVUPD(row[j], Mem{Base: into, Disp: j * lanes * 8})
	}
	ADDQ(stride, b)
	ADDQ(U32(wide*8), into)
	DECQ(k)
	JMP(LabelRef("next"))
	Label("done")
	VZEROUPPER()
	RET()
}

func rowPointers(a, stride Register) [4]Register {
	rows := [4]Register{a}
	for i := 1; i < 4; i++ {
		row := GP64()
		MOVQ(rows[i-1], row)
		ADDQ(stride, row)
		rows[i] = row
	}
	return rows
}
