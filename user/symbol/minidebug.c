// SPDX-License-Identifier: GPL-2.0-or-later
#include "minidebug.h"

#include <errno.h>
#include <lzma.h>

#include "sections.h"

#define STEP_BYTES   (256UL << 10)
#define BYTES_MAX    (64UL << 20) /* unpacked: a kilobyte of xz can claim a terabyte */
#define MEMORY_LIMIT (128UL << 20)

static int unpack(lzma_stream *stream, struct buffer *bytes)
{
	while (bytes->length < BYTES_MAX) {
		lzma_ret result;

		stream->next_out = buffer_extend(bytes, STEP_BYTES);
		if (!stream->next_out)
			return -ENOMEM;
		stream->avail_out = STEP_BYTES;
		result = lzma_code(stream, LZMA_FINISH);
		bytes->length -= stream->avail_out;
		if (result == LZMA_STREAM_END)
			return 0;
		if (result != LZMA_OK)
			return -EINVAL;
	}
	return -EFBIG;
}

Elf *minidebug_open(Elf *elf, struct buffer *bytes)
{
	Elf_Scn *section = sections_find(elf, ".gnu_debugdata");
	Elf_Data *data = section ? elf_rawdata(section, NULL) : NULL;
	lzma_stream stream = LZMA_STREAM_INIT;
	int error;

	if (!data || !data->d_size || lzma_stream_decoder(&stream, MEMORY_LIMIT, 0) != LZMA_OK)
		return NULL;
	stream.next_in = data->d_buf;
	stream.avail_in = data->d_size;
	error = unpack(&stream, bytes);
	lzma_end(&stream);
	return error ? NULL : elf_memory((char *)bytes->data, bytes->length);
}
