// SPDX-License-Identifier: GPL-2.0-or-later
/* Compresses and inflates, and fills direct buffers, until the file $STOP is there: memory that the C library gives. */

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.zip.DataFormatException;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

public class Native {
    static boolean throughZip(byte[] data) throws DataFormatException {
        Deflater deflater = new Deflater();
        byte[] packed = new byte[2 * data.length + 64], back = new byte[data.length];
        deflater.setInput(data);
        deflater.finish();
        int length = deflater.deflate(packed);
        deflater.end();
        Inflater inflater = new Inflater();
        inflater.setInput(packed, 0, length);
        int inflated = inflater.inflate(back);
        inflater.end();
        return inflated == data.length && Arrays.equals(data, back);
    }

    static boolean throughBuffer(byte[] data) {
        ByteBuffer buffer = ByteBuffer.allocateDirect(data.length);
        byte[] back = new byte[data.length];
        buffer.put(data).flip();
        buffer.get(back);
        return Arrays.equals(data, back);
    }

    public static void main(String[] args) throws Exception {
        Path stop = Path.of(System.getenv("STOP"));
        Random random = new Random(1);
        long rounds = 0, wrong = 0;
        System.out.println("ready");
        while (!Files.exists(stop)) {
            byte[] data = new byte[1000 + random.nextInt(20000)];
            random.nextBytes(data);
            Arrays.fill(data, 0, data.length / 2, (byte) 'x');
            if (!throughZip(data) || !throughBuffer(data))
                wrong++;
            rounds++;
        }
        System.out.println(rounds + " rounds, " + wrong + " wrong");
    }
}
