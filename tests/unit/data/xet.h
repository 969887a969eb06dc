#ifndef HUB_XET_H
#define HUB_XET_H

/* What the official client (xet-core) makes of files that a few lines can
 * describe. */

#include <stddef.h>
#include <stdint.h>

#include "str.h"

enum vector_kind {
	NOISE,  /* splitmix64 from the seed on, numbers as eight bytes each */
	BYTE,   /* one byte, again and again */
	RAMP,   /* 0, 1, 2 ... 255, 0, 1 */
	FLOATS, /* 1, 1 + 1 / 65536, 1 + 2 / 65536 ... of 32 bits */
};

struct vector {
	uint64_t size;
	enum vector_kind kind;
	uint64_t seed;
	unsigned byte;
	const char *patch; /* replaces the bytes from patch_at on */
	size_t patch_at, patch_length;
	size_t chunks, first[5]; /* their number, and the first lengths */
	const char *sha256, *xorb, *file, *range;
	const char *stored; /* SHA-256 of the xorb, nothing packed; or NULL */
	const char *shard;  /* SHA-256 of a shard of one file of one term */
};

static const struct vector vectors[] = {
    /* empty */
    {
	.size = 0,
	.kind = BYTE,
	.chunks = 0,
	.sha256 =
	    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	.xorb =
	    "0000000000000000000000000000000000000000000000000000000000000000",
	.file =
	    "0000000000000000000000000000000000000000000000000000000000000000",
	.range =
	    "b81ce0cc7ce434c719c5f31801bc0825ead2a9ebae7419605afc00726961e5d9",
    },
    /* one_zero_byte */
    {
	.size = 1,
	.kind = BYTE,
	.chunks = 1,
	.first = {1},
	.sha256 =
	    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
	.xorb =
	    "df93298cdbf67cd507aed28d6290c0cf7f9aa0aa88dfa629cffcf98680659410",
	.file =
	    "41f5539a8d8bdd7509fd9a319268aca47ea6d40b33394170182e09fa86345c7e",
	.range =
	    "7be708517ff612a74bdd0d7197e09b38f7d644fff72a547d7f0620cbccac5ea2",
	.stored =
	    "b7ae1cba8a559db8d66613320dd7ef4832a0e10d50233dae9ef6cd18412a4d80",
	.shard =
	    "32559ea0ce7d837de33be00bb96c498159218c429aed92c850f6b6569970ff87",
    },
    /* one_byte_a */
    {
	.size = 1,
	.kind = BYTE,
	.byte = 'a',
	.chunks = 1,
	.first = {1},
	.sha256 =
	    "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
	.xorb =
	    "a4d4ed80fcb2fe5177fc59321d3e6f90faf23e35a48d58303114bf073f34178a",
	.file =
	    "49a7fffaf5f34109d4a191757f3e541e26437dcd1e0e83153454a503757856be",
	.range =
	    "1856127f86e6e067d17ce895d84d9963bd53565e566fc0be2a8cee4cf198e63c",
	.stored =
	    "60e65276325a878c8492031f5f3d023a5b102de01234ea02ec4171ab340f3771",
	.shard =
	    "2874105c984ee477bdc91ab2395e9bf014e9a3544e218bc630f4b106a6943a34",
    },
    /* hello */
    {
	.size = 12,
	.kind = BYTE,
	.patch = "Hello World!",
	.patch_length = 12,
	.chunks = 1,
	.first = {12},
	.sha256 =
	    "7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069",
	.xorb =
	    "d8d408e608fb9ca213b9909a65d86d725f2de4d8d540324be8a363e7a6e228cb",
	.file =
	    "a9dae0ad88b060bdd7e7c87abdcf95b132c95a0414b06d4f6beb68d287b87165",
	.range =
	    "89cb63458e98cb4c75be6b50a5a7b7234b82f05d5348e6925fb71aaf5dc3862b",
	.stored =
	    "73ef49caf608c137f56993288f03547c29dcd2e702ceac926ee23678a55614c9",
	.shard =
	    "92b52ba3907f9c57246fe5c81f562af5e7afecb15c37ae5905cc2cb084f19ed4",
    },
    /* splitmix0_8191 */
    {
	.size = 8191,
	.seed = 0,
	.chunks = 1,
	.first = {8191},
	.sha256 =
	    "53a3a5a9f0edeec468e5102f7d2bb1cd4231c1252f6cfb21468205a33044cb7a",
	.xorb =
	    "1f431d55d45ea0432b2e38f6f77d62ee5cadf015c9324ecb361996bf6ad38c6e",
	.file =
	    "a2f0205f90bccc38d465dac03f8f4030d22374a1d4049d4cb54a7f5425ba9eee",
	.range =
	    "0d0607ac8f6d99570f022d3399c098549d01bdd4a506be4d5e1b57432b834900",
	.stored =
	    "6446d48d5a38763604bb48b2e45974c0ba26a0cf02ab55c34ab113119a76365d",
	.shard =
	    "da8c549da23ed4b491953913b70d1baa8c32d5f9b667ac7f7286729e71427667",
    },
    /* splitmix0_8192 */
    {
	.size = 8192,
	.seed = 0,
	.chunks = 1,
	.first = {8192},
	.sha256 =
	    "90ae78ae78eb260cf9f39b9b81f993c4297bf8ff414c2c37699186be66a974c4",
	.xorb =
	    "4bf12f549cd309ed205e9a752303bbeb6bc066610b8ecf16ced5722e4a886764",
	.file =
	    "fd9a9a47884c4d95ca19ee0aef1242c5f5b1b52e7b05020bc773dffc6cd83352",
	.range =
	    "8ca534b08420fe3c67637c26a567b08e837981b1f5a7bc4faa1432fb591c4779",
	.stored =
	    "a92ce1ad2b787893f5e55a11f9213447976ab3c20b751d8c7b53a0d1d164b551",
	.shard =
	    "583366e0786c592c992fbe53d5306804259340ed6a10bfdf9a2e0c8e2d921887",
    },
    /* zero_8192 */
    {
	.size = 8192,
	.kind = BYTE,
	.chunks = 1,
	.first = {8192},
	.sha256 =
	    "9f1dcbc35c350d6027f98be0f5c8b43b42ca52b7604459c0c42be3aa88913d47",
	.xorb =
	    "d88a3b08a2ac3c73417e59b165220ff5a1975c3d4e2a84b003c40cb7f392c443",
	.file =
	    "711574865581cce65f5d06a1818a37a1dd4cfe3f65e3f4aaae2b1bacbfc253db",
	.range =
	    "55a92b84ded94b339dad9ba23732749074c2f0f48382762b2c1a14a19b899d01",
	.stored =
	    "11e741a46138d6474c093156d362787ba7ab6c154d002d3ac06022126db58535",
	.shard =
	    "5bb7f56b764099d0f065588d59294cfbb3e2c428e184d922967202d2fb9ab1df",
    },
    /* zero_131072 */
    {
	.size = 131072,
	.kind = BYTE,
	.chunks = 1,
	.first = {131072},
	.sha256 =
	    "fa43239bcee7b97ca62f007cc68487560a39e19f74f3dde7486db3f98df8e471",
	.xorb =
	    "2e39f13c248013b27e22913ba2893a654120ed0ad8eb7ecbf3f05b9d708634fc",
	.file =
	    "7a7c18448d7ae35cc61c072281981c565fedb8a079b42c6ef4a0c846bb78c50d",
	.range =
	    "14c0d0abd6d31b93186f33741159e5c82fc804f6384a98b090b099796897e601",
	.stored =
	    "395ee8147b9c9311e5cb3a770df5807fa88a9b0e784b330208f6b3a4f9b35071",
	.shard =
	    "a1d7933bb2faa3119d94d9b6b0a01b14a29d5cb810eeb4e2c2679fbee30edbc8",
    },
    /* zero_131073 */
    {
	.size = 131073,
	.kind = BYTE,
	.chunks = 2,
	.first = {131072, 1},
	.sha256 =
	    "d281209cc72d47b090175b22621840d9eb8267d09cc05dc122bfaa759a82830f",
	.xorb =
	    "33774e8810e1614d58259f9399274b3759c85eca0c1f5cc125d285b2b860b924",
	.file =
	    "83f8f48adc7310b5748295b256ca24cdce2aac457679c98526e3a19e0388f58a",
	.range =
	    "540643e10a20075a702ebabc85555edccffba6acace0d27e32d8c933fbbe6750",
	.stored =
	    "fccbf38fa60c4062dd17f96fc1610a607c94ea08ad90a7c2c9f607211bcd05e2",
	.shard =
	    "55cd7e2857886bb950c05987866e34d5f5db1cf18f9df15fa9c3897f92c6340b",
    },
    /* x59_131072 */
    {
	.size = 131072,
	.kind = BYTE,
	.byte = 0x59,
	.chunks = 1,
	.first = {131072},
	.sha256 =
	    "b40cf953f6d91ef4f393df143f6f1b271542f66df73008ec607881c53f4d6d8d",
	.xorb =
	    "d0f59922200c017d58ee18f0def38bd9122cb5bd50b102a611e49ee726b97d7a",
	.file =
	    "17cfc6e80c8598b51bd7ffb812b782a8791acfe584cbecb084e13eadac1a0814",
	.range =
	    "965006b14717cfa4d7a4aef6f895a2e308165528d1d1271d2004b6d97c7f185b",
	.stored =
	    "0a0b8c906c85af341db26e81397897e69cc934c93f32cbdcb190e42a76bcc64a",
	.shard =
	    "de4d97a8aea34a7b464b837b97a8ded6cc3959593c7db28401ee56c0ab3f092e",
    },
    /* zero_1MiB */
    {
	.size = 1048576,
	.kind = BYTE,
	.chunks = 8,
	.first = {131072, 131072, 131072, 131072, 131072},
	.sha256 =
	    "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58",
	.xorb =
	    "8c15d5bfe292d5f8f3b992149581636a5c4078ce9c4349d43f1a762ba0609839",
	.file =
	    "1e671fe124cea35586b1d1c30b9d4fc6b4e05ee60c93406986444f7c23d54056",
	.range =
	    "4c8a43f586d304f6006c4a323671636fbb32ffc7d146b778ed91ddca10f80fce",
	.stored =
	    "3b9886b6b766851a84b82467096d73ca05b35bf4557e686382ba20ea7c587136",
	.shard =
	    "41b6cc41334305bf37b9f71112aa6f1f6e483e4fd1a5efc5519388cbb8042bd7",
    },
    /* x3b_1000000 */
    {
	.size = 1000000,
	.kind = BYTE,
	.byte = 0x3b,
	.chunks = 8,
	.first = {131072, 131072, 131072, 131072, 131072},
	.sha256 =
	    "38e3191a3db93a2016bdd9e5e8b0a98b50876f88450fa740685670651678c92d",
	.xorb =
	    "a6b5a7f0bb38b6fd5fb39031eb7564e18ea0e7a0b7bea87de54ed1db8bc85884",
	.file =
	    "53f845640fcd1c7440befff65bd93434c83a30c6559a705597d61f2ef64e2f88",
	.range =
	    "966713ec6609aa2aa74c90a2fa7771f6068114b4ea12cf569142b436d6e3676c",
	.stored =
	    "e41f011b42beb0e0a382a99a0040ec5f4acaed651181cb98eec4a0790b7dacd6",
	.shard =
	    "c2dc0a832e752575562222e407b1c3d86d1dd76160217d9bee009dc0f7fac699",
    },
    /* ramp_1MiB */
    {
	.size = 1048576,
	.kind = RAMP,
	.chunks = 8,
	.first = {131072, 131072, 131072, 131072, 131072},
	.sha256 =
	    "fbbab289f7f94b25736c58be46a994c441fd02552cc6022352e3d86d2fab7c83",
	.xorb =
	    "985c706094065f20092570f3252f93ea9a5a73f3149f0b818ca6ea1931d02a27",
	.file =
	    "64ced0eb807e8cdd2a45f3766c186f2e59106b04f97b3c4dee241ce52bebc779",
	.range =
	    "aedee4d42af179a5cea5a7f6564d8ee653b0957b87b9be897c2b2cf89a108961",
	.stored =
	    "9209f2497243d2a1c1f80c96161d0cf8b9c3015075a76b9520441e186cce2337",
	.shard =
	    "a82e99e496ca790909a6f811a8462a14050f9f6e2e1fa03d756e43fbdc9979e1",
    },
    /* f32_ramp_1MiB */
    {
	.size = 1048576,
	.kind = FLOATS,
	.chunks = 17,
	.first = {23478, 20012, 131072, 32781, 131072},
	.sha256 =
	    "81319b8d37976a047c223b20f4642fae0a485c954dddedd0e2388a8e3ca4c436",
	.xorb =
	    "84f85f5dd40d8637ac63e7b627737fad3146860d0c6a39c4284745371a27aee0",
	.file =
	    "e42577d618b9c38998813316385c8dbb29aa5af94242ee598365bb2c2deb36ad",
	.range =
	    "2de4284bddee06cabde9a3abf04e0e1c3aec84f7f5ef412fc0e0cd3dbfcf56c7",
	.stored =
	    "97e0247cd9701d5dc90eddcb1d81e04fcc9a486400ce1965b38b633510b15f24",
	.shard =
	    "593213a5fc09f451f2026979444771fd1f99569ac2dfb9b3e4f89ef7208e6d7a",
    },
    /* splitmix0_1000000 */
    {
	.size = 1000000,
	.seed = 0,
	.chunks = 19,
	.first = {84493, 49928, 10432, 98465, 28475},
	.sha256 =
	    "b3d0a1f7938cd4d8413a4dcffd4313e2e8ac0cb61cb1090eb140ea8e9154befb",
	.xorb =
	    "6f2ce16ca5e317f0100ff0e7e5bf40a0de9032e9ee1ad04b6b8ff4e36cdfbf6c",
	.file =
	    "3d17b2d7d64a0e011b6717a52d9a16bd2c3f05b743fa8adf52a7d75dafab6d89",
	.range =
	    "6daf15a7ed258b91f607e8f5e6723a8564292d12c8104c156f7bad9c255a0180",
	.stored =
	    "89012d6b736b38afb75e9ba73683c55bfdfc468600e54da28aeb759f0cf10069",
	.shard =
	    "b1df68df95db5bb6fa8c1ab30fb79018325220270eeb48532a44ecb5f2adbed9",
    },
    /* splitmix0_1MiB */
    {
	.size = 1048576,
	.seed = 0,
	.chunks = 20,
	.first = {84493, 49928, 10432, 98465, 28475},
	.sha256 =
	    "bc9d1d01517351f3e2c02d32495b3bfbcba5ec54e5f1a44b06f51755d0086a01",
	.xorb =
	    "bcf30cdb2ec4c3dec797ec020b9b15787d2d56624409d9228eeba833ed243890",
	.file =
	    "6be88463ba34e22917757b106932d68d61b21e564fab9e65dfa558fc58b27020",
	.range =
	    "8a4a686a81be72297b63c3d16ab561bbdeb0693f18ab8382c270aaac5160ff1e",
	.stored =
	    "67204729099c6ff217d8267c8c1c588d03927e87372c05e9a995e580c184ca17",
	.shard =
	    "3419c6f2140f127ec5d08aa0fe148dee0d7d6338e77af01bdc855d5af605aa37",
    },
    /* splitmix0_10MiB */
    {
	.size = 10485760,
	.seed = 0,
	.chunks = 170,
	.first = {84493, 49928, 10432, 98465, 28475},
	.sha256 =
	    "8cffd8002686922ba14095d8620c35b6f5b7089799baaab5c862c533326364ca",
	.xorb =
	    "a1f887f836ca76de4374d7f76882199c04cbf884df9cb6623673a9c78236f6da",
	.file =
	    "9388e1d008b51241c64555d9c5ada585d3edce3f70366ff80cb791bc5a6ef625",
	.range =
	    "90a4b57f9b605720797a299a6dd9fe67e8af6ce675804c3853f2503e4b308704",
	.stored =
	    "022cc370ea8b0294b0c44755eb982a5a2d3c27096c8d63c3481f9725f90362a3",
	.shard =
	    "27e54a320e6c6de6bfbef5c0295630c44263b76e6dc7a037f422a0e26cdbc242",
    },
    /* splitmix42_3MiB_plus_17 */
    {
	.size = 3145745,
	.seed = 42,
	.chunks = 50,
	.first = {56712, 17916, 31842, 28823, 131072},
	.sha256 =
	    "827d827f08db5b8e3e327d552ace1f06086728cf67c9db6e509fd4281f7a9017",
	.xorb =
	    "171cbbfb5e59b5b33b500c0b6848e7f140615b38a685c602cdbf3b7205cd8087",
	.file =
	    "973e625a16b4d6f59c374a3257e5b609952caa84291fbfe988c8a6b01ac75d0d",
	.range =
	    "57f89e6f0ced5a62771e37d0f8262588f8e37b1cc4e7a204d5fcba6ed609d13c",
	.stored =
	    "5a2dcc3335c9037da1882e1d6d55ab384fe5ceb957379f301bf8b9f7b4041985",
	.shard =
	    "974073c6e15ae4f060e01b485cbe29a67b95ea987284a3d3dea2d05bb06be199",
    },
    /* cut_at_exactly_8192 */
    {
	.size = 200000,
	.seed = 7,
	.patch_at = 8189,
	.patch = "\x01\x02\x6f",
	.patch_length = 3,
	.chunks = 5,
	.first = {8192, 14161, 16397, 131072, 30178},
	.sha256 =
	    "819d89e7274f343c48ade9762ccc5ff1f36182f33285bc84ae2521bae171d87b",
	.xorb =
	    "8b1897b1ffdb4f36c412e45712c2b654d4f63a9a689f89637c39f3e57b882dba",
	.file =
	    "eabc9772bc034ce551c4819424e20c06f7e1477d2d328ab935abbf6cd9a3c178",
	.range =
	    "5c4a87c4f44d62f01c1bed42d7be7b968f1414fdf17dff9f2159727eb0d907b4",
    },
    /* match_at_8191_ignored */
    {
	.size = 200000,
	.seed = 7,
	.patch_at = 8188,
	.patch = "\x00\x17\x38",
	.patch_length = 3,
	.chunks = 4,
	.first = {22353, 16397, 131072, 30178},
	.sha256 =
	    "603d80b8fbfcaf6f293b80ccb9ee585da61e48ad46a47e846e598d68f009d37b",
	.xorb =
	    "dd24660509660975c020a5ab2e1848b78527548dd058094c36ffd7fa038ba49f",
	.file =
	    "767a1ddbba3738b02144623db79871c09de1df636d8002d4b2327c227a84d042",
	.range =
	    "0ac0639472b2921c33ea985a6e84302a8d890946fda43c0792a9d3ff7aa7660b",
    },
    /* x11_300000 */
    {
	.size = 300000,
	.kind = BYTE,
	.byte = 0x11,
	.chunks = 3,
	.first = {131072, 131072, 37856},
	.sha256 =
	    "99f23266c5d2154abaf6f041406247cea8d84215e69674ee5687241206633c93",
	.xorb =
	    "c7b6054110ffb1334f02fce2f94673e92cefb9e958dade02533d745e405376ef",
	.file =
	    "9b6928aec34d0489696a7d4561ebdb9ec109398c3238822e0bca84d710c13de2",
	.range =
	    "946a1c2e5e6d2d7ffc8e2a63f2c2c0a259808e22949718660f3c611ff4775bbc",
    },
};

static inline uint64_t
vector_splitmix(uint64_t seed, uint64_t i)
{
	uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* The bits of 1 + i / 65536: the exponent is that of the highest bit. */
static inline uint32_t
vector_float(uint32_t i)
{
	uint32_t sum = i + 65536, more = 0;

	while (sum >> (17 + more))
		more++;
	return (127 + more) << 23 | ((sum << 7 >> more) & 0x7fffff);
}

/* Byte at of the file. */
static inline unsigned char
vector_byte(const struct vector *v, uint64_t at)
{
	unsigned shift = 8 * (unsigned)(at % 8);

	if (at >= v->patch_at && at - v->patch_at < v->patch_length)
		return (unsigned char)v->patch[at - v->patch_at];
	switch (v->kind) {
	case NOISE:
		return (
		    unsigned char)(vector_splitmix(v->seed, at / 8) >> shift);
	case BYTE:
		return (unsigned char)v->byte;
	case RAMP:
		return (unsigned char)at;
	case FLOATS:
		return (unsigned char)(vector_float((uint32_t)(at / 4)) >>
				       shift % 32);
	}
	return 0;
}

#endif
